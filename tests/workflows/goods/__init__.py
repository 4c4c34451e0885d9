"""Where goods and money go when several cases are about the same pieces.

`test_hand_overs`: what one case gives another, and several cases of one id. `test_goods_of_parcels`: one case a set of
goods, under whatever waybill. `test_remedy_or_refund`: sent again or paid for, never both. `test_what_came_back`: to
the shelf, into stock, or to a return. `test_what_is_sent_again`: booked once and leaves once.
`test_what_returns_take_in`: what a return has, keeps, or sends back. `test_kept_from_buyer`: what lapsed returns and
disputes keep here. `test_turned_up`: what is here and nobody waited for. `test_where_each_piece_goes`: lines with
several pieces in several places.
"""
