"""COCO: objects, panoptic maps, and what writes both."""
