"""Data: sets of samples, loaders, transforms and file formats.

In: arrays, and files that strangers made. Out: batches of NumPy arrays in an order that can be repeated.
Nothing here knows about gradients; the Trainer turns batches into tensors.
"""

from thalweg.data.catalogue import Examples, LabelledImages, digits, fashion_mnist, mnist
from thalweg.data.categories import LabelEncoder, OneHotEncoder, OrdinalEncoder
from thalweg.data.collate import default_collate
from thalweg.data.csv_table import read_csv, write_csv
from thalweg.data.dataset import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset
from thalweg.data.idx import read_idx, write_idx
from thalweg.data.loader import DataLoader
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

__all__ = [
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "Examples",
    "Impute",
    "IterableDataset",
    "LabelEncoder",
    "LabelledImages",
    "Log1p",
    "MinMaxScale",
    "OneHotEncoder",
    "OrdinalEncoder",
    "Pipeline",
    "Standardise",
    "StreamedCSV",
    "Subset",
    "Table",
    "TableEncoder",
    "TensorDataset",
    "Transform",
    "default_collate",
    "digits",
    "fashion_mnist",
    "infer_task",
    "looks_like_classes",
    "manual_seed",
    "mnist",
    "random_split",
    "read_csv",
    "read_idx",
    "read_npy",
    "read_npz",
    "split_indices",
    "stratified_split",
    "train_validation_split",
    "write_csv",
    "write_idx",
]
