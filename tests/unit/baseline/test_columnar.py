from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_perfguard.baseline.columnar import VERSION, decode_samples, encode_samples
from pytest_perfguard.errors import StoreError, StoreFormatError
from pytest_perfguard.model import BUILTIN, Key, Series, custom
from pytest_perfguard.quantity import Unit
from tests.unit.baseline.examples import TIME

wide = st.integers(-(2**63), 2**63 - 1)
values = st.lists(wide, min_size=1, max_size=20) | st.lists(st.integers(10**6, 10**6 + 5000), min_size=1, max_size=60)
series = st.builds(
    Series,
    metric=st.sampled_from([TIME, BUILTIN["reference"], custom("own", Unit.BYTES)]),
    values=values.map(tuple),
    iterations=st.integers(1, 10**9),
)
keys = st.builds(Key, test=st.text(max_size=20), name=st.text(max_size=5))
EXAMPLE = [
    (Key(test="a"), Series(metric=TIME, values=(5, 3, 2**33, 3))),
    (Key(test="b", name="ü"), Series(metric=TIME, values=(7, 7), iterations=4)),
    (Key(test="a"), Series(metric=BUILTIN["reference"], values=tuple(range(1000, 300, -1)))),
]


@given(st.lists(st.tuples(keys, series), max_size=6))
def test_any_series_come_back_in_the_order_of_measuring(samples):
    expected: dict[Key, list[Series]] = {}
    for key, item in samples:
        expected.setdefault(key, []).append(item)
    assert decode_samples(encode_samples(samples)) == {key: tuple(items) for key, items in expected.items()}


def test_cut_short_at_any_byte_or_changed_at_any_byte_is_noticed():
    data = encode_samples(EXAMPLE)
    for place in range(len(data)):
        with pytest.raises(StoreFormatError, match="here"):
            decode_samples(data[:place], "here")
        with pytest.raises(StoreFormatError, match="here"):
            decode_samples(data[:place] + bytes([data[place] ^ 0x40]) + data[place + 1 :], "here")


def test_a_newer_version_is_refused_with_the_remedy():
    data = bytearray(encode_samples(EXAMPLE))
    data[3] = VERSION + 1
    with pytest.raises(StoreFormatError, match=r"format 2 .* upgrade pytest-perfguard"):
        decode_samples(bytes(data))


def test_a_value_beyond_64_bits_is_refused():
    with pytest.raises(StoreError, match="64 bits"):
        encode_samples([(Key(test="a"), Series(metric=TIME, values=(2**63,)))])


def test_constant_values_take_next_to_no_room():
    one, many = (encode_samples([(Key(test="a"), Series(metric=TIME, values=(9,) * n))]) for n in (1, 100_000))
    assert len(many) < len(one) + 30
