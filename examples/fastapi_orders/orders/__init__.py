"""An API for orders: customers, products, orders of these, and what their delivery would cost."""
