import pytest

from tokenmatcher.inspection.page.titles import title_of


@pytest.mark.parametrize(
    ("topic", "name", "title"),
    [
        ("labels", "clusters", "Clusters"),
        ("match", "associated", "Visible images that have an infrared cluster, share"),
        ("match", "alike_share", "Pairs of images that are alike, share"),
        ("association", "clusters_without", "Infrared clusters without visible images"),
        ("losses", "vis-inf_shallow", "Loss: neighbours, visible to infrared, shallow branch"),
        ("losses", "infrared_deep", "Loss: own cluster, infrared, deep branch"),
        ("losses", "cross", "Loss: cross"),
        ("own", "some_thing", "some thing"),
    ],
)
def test_figures_are_put_into_words(topic, name, title):
    assert title_of(topic, name) == title
