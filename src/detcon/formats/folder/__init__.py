"""The labelled folder: photos with label, instance and depth maps."""
