"""The bookshop as an application of Django."""
