"""Real data sets, read from ../shared/data: the counts and moments that their README states.

In: MNIST, Fashion-MNIST, Adult, California housing, blood cells. Out: exactly what was published.
"""

import numpy as np
import pytest

from tests.support.shared_data import shared_data
from thalweg.data import (
    DataLoader,
    LabelEncoder,
    StreamedCSV,
    TableEncoder,
    fashion_mnist,
    infer_task,
    mnist,
    read_csv,
    read_npz,
)


@pytest.mark.parametrize(
    ("name", "read", "mean", "deviation", "fewest", "most"),
    [("mnist", mnist, 0.1307, 0.3081, 5421, 6742), ("fashion_mnist", fashion_mnist, 0.2860, 0.3530, 6000, 6000)],
)
def test_mnist_and_fashion_mnist_are_the_published_ones(name, read, mean, deviation, fewest, most):
    data = read(shared_data(name))
    assert data.train.images.shape == (60_000, 28, 28)
    assert data.test.images.shape == (10_000, 28, 28)
    assert data.train.images.mean(dtype=np.float64) == pytest.approx(mean, abs=5e-5)
    assert data.train.images.std(dtype=np.float64) == pytest.approx(deviation, abs=5e-5)
    counts = np.bincount(data.train.labels, minlength=10)
    assert (counts.min(), counts.max(), len(counts)) == (fewest, most, 10)
    assert len(data.class_names) == 10


def test_adult_trains_on_one_file_and_is_tested_on_the_other():
    folder = shared_data("adult")
    training, test = (read_csv(folder / f"adult.{part}.gz", header=False) for part in ("data", "test"))
    assert (training.shape, test.shape) == ((32_561, 15), (16_281, 15))
    assert (training.missing_rows().sum(), test.missing_rows().sum()) == (2_399, 1_221)
    assert list(training.kinds.values()).count("numeric") == 6
    assert training.kinds == test.kinds
    assert training.notes == test.notes == ()
    (x, y), (x_test, y_test) = training.target(14), test.target("14")
    labels = LabelEncoder().fit(y)
    assert labels.classes == ["<=50K", ">50K"]
    assert labels.transform(y).sum() == 7_841
    assert labels.transform(y_test, where=test.place).sum() == 3_846
    assert labels.renamed(y_test) == {"<=50K.": "<=50K", ">50K.": ">50K"}
    encoder = TableEncoder().fit(x)
    assert encoder.transform(x_test).shape == (16_281, encoder.width)
    assert np.isfinite(encoder.transform(x_test)).all()
    assert infer_task(y) == "classification"


def test_adult_without_no_header_is_noticed():
    table = read_csv(shared_data("adult") / "adult.data.gz")
    assert "header=False" in table.notes[0]


def test_adult_streams():
    stream = StreamedCSV(shared_data("adult") / "adult.data.gz", header=False, target=14, chunk_rows=4096)
    assert len(stream) == 32_561
    assert sum(int(y.sum()) for _, y in DataLoader(stream, batch_size=512, shuffle=True, num_workers=1)) == 7_841


def test_california_housing_has_its_gaps():
    table = read_csv(shared_data("california_housing") / "housing.csv.gz")
    assert table.shape == (20_640, 10)
    assert {name: count for name, count in table.missing().items() if count} == {"total_bedrooms": 207}
    assert [name for name, kind in table.kinds.items() if kind == "categorical"] == ["ocean_proximity"]
    features, target = table.target("median_house_value")
    assert (target.min(), target.max(), (target == target.max()).sum()) == (14_999, 500_001, 965)
    assert infer_task(target) == "regression"
    encoder = TableEncoder().fit(features)
    assert encoder.width == 8 + 1 + 5
    assert np.abs(encoder.transform(features)[:, :5].mean(axis=0)).max() < 1e-4


def test_npz_of_blood_cells():
    arrays = read_npz(shared_data("bccd") / "bccd_60x80.npz")
    assert arrays["images"].shape == (364, 60, 80, 3)
    assert arrays["boxes"].shape == (4_888, 4)
