"""What people wrote about photos: label maps, objects and depth, in the formats they come in."""
