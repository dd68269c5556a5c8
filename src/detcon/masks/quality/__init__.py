"""How good masks are, compared with what people marked in the photos."""
