"""Data: sets of samples, loaders, transforms and file formats.

In: arrays, and files that strangers made. Out: batches of NumPy arrays in an order that can be repeated.
Nothing here knows about gradients; the Trainer turns batches into tensors.
"""

from thalweg.data.affine import RandomAffine, RandomRotation
from thalweg.data.augment import Compose, ImageTransform, RandomApply, Samples
from thalweg.data.boxes import padded_boxes, split_boxes
from thalweg.data.catalogue import Examples, LabelledImages, digits, fashion_mnist, mnist
from thalweg.data.categories import LabelEncoder, OneHotEncoder, OrdinalEncoder
from thalweg.data.cifar import read_cifar
from thalweg.data.collate import default_collate
from thalweg.data.colour import ColorJitter, Normalize, ToFloat
from thalweg.data.crops import CenterCrop, RandomCrop, RandomResizedCrop, Resize
from thalweg.data.csv_table import read_csv, write_csv
from thalweg.data.dataset import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset
from thalweg.data.draws import Draws, Moment
from thalweg.data.erasing import RandomErasing
from thalweg.data.flips import RandomHorizontalFlip, RandomQuarterTurn, RandomVerticalFlip
from thalweg.data.idx import read_idx, write_idx
from thalweg.data.image_catalogue import BoxedImages, bccd, cifar10, membrane
from thalweg.data.image_dataset import ImageArrays, ImageDataset, ImageFiles
from thalweg.data.image_files import read_image
from thalweg.data.image_folder import ImageFolder
from thalweg.data.loader import DataLoader
from thalweg.data.mask_folder import SegmentationFolder
from thalweg.data.npz import read_npy, read_npz
from thalweg.data.numeric import Impute, Log1p, MinMaxScale, Standardise
from thalweg.data.seeding import manual_seed
from thalweg.data.splits import (
    looks_like_classes,
    random_split,
    split_indices,
    stratified_split,
    train_validation_split,
)
from thalweg.data.streamed import StreamedCSV
from thalweg.data.table import Table
from thalweg.data.table_encoder import TableEncoder, infer_task
from thalweg.data.transform import Pipeline, Transform
from thalweg.data.voc import VOCDetection

__all__ = [
    "BoxedImages",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "Draws",
    "Examples",
    "ImageArrays",
    "ImageDataset",
    "ImageFiles",
    "ImageFolder",
    "ImageTransform",
    "Impute",
    "IterableDataset",
    "LabelEncoder",
    "LabelledImages",
    "Log1p",
    "MinMaxScale",
    "Moment",
    "Normalize",
    "OneHotEncoder",
    "OrdinalEncoder",
    "Pipeline",
    "RandomAffine",
    "RandomApply",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomQuarterTurn",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "Samples",
    "SegmentationFolder",
    "Standardise",
    "StreamedCSV",
    "Subset",
    "Table",
    "TableEncoder",
    "TensorDataset",
    "ToFloat",
    "Transform",
    "VOCDetection",
    "bccd",
    "cifar10",
    "default_collate",
    "digits",
    "fashion_mnist",
    "infer_task",
    "looks_like_classes",
    "manual_seed",
    "membrane",
    "mnist",
    "padded_boxes",
    "random_split",
    "read_cifar",
    "read_csv",
    "read_idx",
    "read_image",
    "read_npy",
    "read_npz",
    "split_boxes",
    "split_indices",
    "stratified_split",
    "train_validation_split",
    "write_csv",
    "write_idx",
]
