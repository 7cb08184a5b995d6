"""A blog of several authors: posts with tags and comments, as pages and as JSON."""
