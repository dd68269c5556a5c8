"""The labelled folder: photos with label, instance and depth maps, or a folder for each class."""

from detcon.formats.folder.depth import open_depth_folder
from detcon.formats.folder.labels import open_folder, open_folder_objects, open_segments
from detcon.formats.folder.layout import FolderLayout
from detcon.formats.format import Format
from detcon.formats.imagenet import open_class_folders

FORMAT = Format(
    label_maps=open_folder,
    objects=open_folder_objects,
    depth=open_depth_folder,
    takes_unit=True,
    classes=open_class_folders,
    segments=open_segments,
    options=("regions", "ignore"),
    layout=FolderLayout,
)
