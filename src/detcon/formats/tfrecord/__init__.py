"""The TFRecord files of the official script: photos with Felzenszwalb-Huttenlocher masks."""
