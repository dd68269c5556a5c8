"""Adapts existing weights to unlabelled photos, and says whether it helped."""
