"""Settings and addresses of the blog's site."""
