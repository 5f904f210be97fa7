"""Data: sets of samples, loaders, transforms and file formats.

In: arrays, and files that strangers made. Out: batches of NumPy arrays in an order that can be repeated.
Nothing here knows about gradients; the Trainer turns batches into tensors.
"""

from thalweg.data.affine import RandomAffine, RandomRotation
from thalweg.data.augment import Compose, ImageTransform, RandomApply, Samples
from thalweg.data.boxes import padded_boxes, split_boxes
from thalweg.data.buckets import BucketBatchSampler, Buckets
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
from thalweg.data.folds import k_fold
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
from thalweg.data.sequences import SequenceCompose, SequenceDataset, SequenceTransform, pad_sequence
from thalweg.data.sound_catalogue import SpokenDigits, joined_sequences, spoken_digits
from thalweg.data.sound_files import Sound, read_sound, write_sound
from thalweg.data.sound_folder import Recordings, read_recordings
from thalweg.data.sound_resampling import resample
from thalweg.data.spectrogram import LogMel, deltas, hertz_to_mel, mel_filters, mel_to_hertz
from thalweg.data.spectrogram_masks import SpecAugment
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
from thalweg.data.text_catalogue import TextParts, TranslatedTexts, multi30k, rt_polarity, tiny_shakespeare
from thalweg.data.text_files import AlignedLines, read_aligned, read_lines, read_text
from thalweg.data.text_table import LabelledTexts, read_labelled_texts
from thalweg.data.token_windows import RandomTokenWindows, TokenWindows
from thalweg.data.tokenizer import Tokenizer
from thalweg.data.transform import Pipeline, Transform
from thalweg.data.voc import VOCDetection
from thalweg.data.vocabulary import SPECIAL_TOKENS, Vocabulary

__all__ = [
    "AlignedLines",
    "BoxedImages",
    "BucketBatchSampler",
    "Buckets",
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
    "LabelledTexts",
    "Log1p",
    "LogMel",
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
    "RandomTokenWindows",
    "RandomVerticalFlip",
    "Recordings",
    "Resize",
    "SPECIAL_TOKENS",
    "Samples",
    "SegmentationFolder",
    "SequenceCompose",
    "SequenceDataset",
    "SequenceTransform",
    "Sound",
    "SpecAugment",
    "SpokenDigits",
    "Standardise",
    "StreamedCSV",
    "Subset",
    "Table",
    "TableEncoder",
    "TensorDataset",
    "TextParts",
    "ToFloat",
    "TokenWindows",
    "Tokenizer",
    "Transform",
    "TranslatedTexts",
    "VOCDetection",
    "Vocabulary",
    "bccd",
    "cifar10",
    "default_collate",
    "deltas",
    "digits",
    "fashion_mnist",
    "hertz_to_mel",
    "infer_task",
    "joined_sequences",
    "k_fold",
    "looks_like_classes",
    "manual_seed",
    "mel_filters",
    "mel_to_hertz",
    "membrane",
    "mnist",
    "multi30k",
    "pad_sequence",
    "padded_boxes",
    "random_split",
    "read_aligned",
    "read_cifar",
    "read_csv",
    "read_idx",
    "read_image",
    "read_labelled_texts",
    "read_lines",
    "read_npy",
    "read_npz",
    "read_recordings",
    "read_sound",
    "read_text",
    "resample",
    "rt_polarity",
    "split_boxes",
    "split_indices",
    "spoken_digits",
    "stratified_split",
    "tiny_shakespeare",
    "train_validation_split",
    "write_csv",
    "write_idx",
    "write_sound",
]
