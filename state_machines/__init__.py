"""The flows as tables: what may happen, who may make it happen, under which condition and by when."""
