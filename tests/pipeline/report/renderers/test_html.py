"""The page: it needs nothing but itself, and its pictures say in words what they show."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import report
from pipeline.report.pictures.files import binomial
from pipeline.report.pictures.svg import Scale
from tests.pipeline.report.rendered import tags
from tests.support.sample_run import (
    CAN_NOT_RUN,
    measurement,
    run_of,
    whole_run,
)


def test_the_page_needs_nothing_but_itself(store):
    page = report.renderer("html").render(whole_run(), store)
    assert not re.search(r"https?:|<script|<img|<iframe|@import|url\(", page)
    assert set(re.findall(r'(?:href|src)="([^"#]+)', page)) == {"data:,"}
    assert "default-src 'none'" in page
    assert "svg" in tags(page)
    assert len(re.findall(r'id="([^"]+)"', page)) == len(set(re.findall(r'id="([^"]+)"', page)))


def test_every_link_of_the_page_leads_somewhere(store):
    for run in (whole_run(), run_of((measurement(),)), run_of((), failures=(CAN_NOT_RUN,))):
        page = report.renderer("html").render(run, store)
        assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))


def test_every_picture_says_in_words_what_it_shows(store):
    page = report.renderer("html").render(whole_run(), store)
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 4 + 7 + 8  # the distribution of the invalid one is not drawn
    assert all(re.search(r"<title id=.*?>.+?</title><desc id=.*?>.+?</desc>", picture) for picture in pictures)


@given(st.floats(1e-7, 1), st.floats(1.001, 1e4), st.booleans())
def test_a_scale_keeps_its_order_and_its_ticks_are_inside(low, wider, log):
    scale = Scale(low=low, high=low * wider, start=10, end=400, log=log)
    assert (scale.at(low), scale.at(low * wider)) == (pytest.approx(10), pytest.approx(400))
    ticks = scale.ticks()
    assert ticks == sorted(ticks)
    assert all(10 - 1e-6 <= scale.at(tick) <= 400 + 1e-6 for tick in ticks)
    assert len(ticks) <= 11


def test_the_interval_of_a_share_is_wilsons():
    low, high = binomial(0.5, 100)  # Brown, Cai and DasGupta (2001): 0.4038 to 0.5962
    assert (round(low, 4), round(high, 4)) == (0.4038, 0.5962)
    assert binomial(1.0, 50)[1] == 1.0
    assert binomial(0.0, 50)[0] == 0.0
    assert 0 < binomial(1.0, 50)[0] < 1
