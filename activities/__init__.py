"""Every side effect of a case, one module a counterpart. Each is one transaction of the shop, or one call outside."""
