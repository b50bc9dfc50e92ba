"""A laboratory of network namespaces: two peers, each behind a network of its own, and what is public between them."""
