"""Checks: the reference passes, a stub says so, real mistakes are refused by name, nothing ever raises."""

import numpy as np
import pytest
import torch

from cnnlab.course import TODO, check, exercise, hint, progress, references
from cnnlab.course.compare import difference
from cnnlab.course.progress import clear
from cnnlab.course.references import Exercise, Mistake

ALL = references.all_ids()


@pytest.fixture(autouse=True)
def told(monkeypatch):
    """What the reader is told, as text."""
    boxes = []
    monkeypatch.setattr("IPython.display.display", lambda box: boxes.append(box))
    monkeypatch.delenv("CNNLAB_STRICT", raising=False)
    clear()
    yield boxes
    clear()


def test_every_lecture_has_its_exercises():
    assert {"00.1", "00.2", "00.bug", "01.1", "01.2", "01.3", "01.4", "01.bug"} <= set(ALL)


@pytest.mark.parametrize("id", ALL)
def test_the_reference_passes_in_strict_mode(id, told):
    function = references.find(id).function
    assert check(id, function, strict=True) is function
    assert repr(told[-1]).startswith("\u2713") and "right" in repr(told[-1])


@pytest.mark.parametrize("id", ALL)
def test_the_empty_stub_is_not_started(id, told):
    def stub(*args):
        TODO("something")

    answer = check(id, stub)
    assert "not started" in repr(told[-1]) and "you write: something" in repr(told[-1])
    arguments = references.find(id).cases()[0]
    assert difference(answer(*arguments), references.find(id).function(*arguments)) is None


@pytest.mark.parametrize("id", ALL)
def test_cases_are_the_same_every_time_and_four_or_more(id):
    cases = references.find(id).cases()
    assert len(cases) >= 4
    assert difference(cases, references.find(id).cases(), 0) is None


MISTAKES = [(id, k) for id in ALL for k in range(len(references.find(id).mistakes))]


@pytest.mark.parametrize(("id", "k"), MISTAKES)
def test_each_planted_mistake_is_refused_by_its_own_name(id, k, told):
    mistake = references.find(id).mistakes[k]
    answer = check(id, mistake.function)
    assert answer is not mistake.function
    planted = references.is_hunt(id) and k == 0
    name = "The fault is still in it." if planted else mistake.name
    assert "not yet" in repr(told[-1]) and name in repr(told[-1])
    others = [other.name for other in references.find(id).mistakes if other is not mistake or planted]
    assert not any(name in repr(told[-1]) for name in others)
    with pytest.raises(exercise.NotRight, match=r"Input|stopped"):
        check(id, mistake.function, strict=True)


def _best_is_the_end(losses, patience):
    last, best = references.find("08.1").function(losses, patience)
    return last, best if last < len(losses) else last


def _relu_inside(x, f):
    return (x.relu() + f(x.relu())).relu()


def _without_eps(x):
    axes = (0, 2, 3)
    return (x - x.mean(axes, keepdim=True)) / x.var(axes, unbiased=False, keepdim=True).sqrt()


@pytest.mark.parametrize(
    ("id", "answer"), [("08.1", _best_is_the_end), ("09.4", _relu_inside), ("09.bug2", _without_eps)]
)
def test_mistakes_without_a_name_are_refused_too(id, answer, told):
    """Each of them passed once: no case went where it is wrong."""
    assert check(id, answer) is not answer and "not yet" in repr(told[-1])


@pytest.mark.parametrize("id", ALL)
def test_each_exercise_knows_three_mistakes_or_more(id):
    assert len(references.find(id).mistakes) >= 3


def double():
    return Exercise(
        "99.1",
        "Double",
        lambda x: 2 * x,
        lambda: [(torch.tensor([1.0, 2.0]),), (torch.ones(9, 9),)],
        (Mistake("squared", lambda x: x**2),),
    )


@pytest.fixture
def planted(monkeypatch):
    monkeypatch.setattr(exercise, "find", lambda id: double())


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no")


def leaves(x):
    raise SystemExit(3)


def raises(x):
    return x.nothing_of_this_name


def changes_its_input(x):
    x *= 2
    return x


def calls_itself(x):
    return calls_itself(x)


@pytest.mark.parametrize(
    ("answer", "text"),
    (
        (lambda x: None, "Is a `return` missing"),
        (lambda x: 3, "expected a tensor of shape (2,), got int 3"),
        (lambda x: x[:1], "expected the shape (2,), got (1,)"),
        (lambda x: 2 * x + 1, "at [0] expected 2, got 3 (2 of 2 numbers differ)"),
        (lambda x: x * float("nan"), "got nan"),
        (raises, "AttributeError"),
        (raises, "return x.nothing_of_this_name"),
        (changes_its_input, "changed its input"),
        (calls_itself, "RecursionError"),
        (lambda: 1, "TypeError"),
        (torch.tensor([1.0]), "without brackets"),
        (None, "without brackets"),
        (lambda x: "<script>", "<script>"),
        (leaves, "SystemExit"),
        (lambda x: Unprintable(), "cannot be printed"),
        (lambda x: (2 * x).to_sparse(), "ordinary tensor"),
        (lambda x: 2j * x, "ordinary tensor of real numbers"),
        (lambda x: (2 * x).numpy(), "a tensor of shape (2,), got ndarray"),
        (lambda x: (2 * x).double(), "type float32, got float64"),
        (lambda x: (2 * x).to("meta"), "on meta"),
    ),
)
def test_wrong_answers_are_told_and_never_raise(planted, told, answer, text):
    function = check("99.1", answer)
    assert text in repr(told[-1])
    assert "<script>" not in told[-1]._repr_html_()
    assert torch.equal(function(torch.tensor([4.0])), torch.tensor([8.0]))


@pytest.mark.parametrize("answer", (lambda x: x + x, lambda x: x.mul(2), lambda x: 2 * x.clone()))
def test_other_ways_to_be_right_are_right(planted, answer):
    assert check("99.1", answer, strict=True) is answer


def test_our_reference_is_not_taken_for_the_students_answer(planted, told):
    ours = check("99.1", lambda x: x)
    again = check("99.1", ours)
    assert "Run the cell with your function" in repr(told[-1])
    assert torch.equal(again(torch.ones(1)), 2 * torch.ones(1))
    with pytest.raises(exercise.NotRight):
        check("99.1", ours, strict=True)


def test_a_seed_set_by_a_student_stays_inside(planted):
    def seeds(x):
        torch.manual_seed(1)
        return 2 * x

    before = torch.get_rng_state()
    check("99.1", seeds, strict=True)
    assert torch.equal(torch.get_rng_state(), before)

    def turns_gradients_off(x):
        torch.set_grad_enabled(False)
        return 2 * x

    check("99.1", turns_gradients_off, strict=True)
    assert torch.is_grad_enabled()


def test_a_bug_hunt_is_not_sent_to_hints(told):
    check("00.bug", lambda image: TODO("x"))
    assert "hint(" not in repr(told[-1])


def test_the_environment_makes_it_strict(planted, monkeypatch):
    monkeypatch.setenv("CNNLAB_STRICT", "1")
    with pytest.raises(exercise.NotRight):
        check("99.1", lambda x: x)


def test_an_unknown_exercise_is_a_mistake_of_the_author():
    with pytest.raises(LookupError, match="no exercise '01.99'.*01.1"):
        check("01.99", print)


def test_a_check_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    for id in ALL:
        check(id, references.find(id).function)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("got", "expected", "found"),
    (
        (3, 3, None),
        (torch.tensor(3), 3, None),
        (np.int64(3), 3, None),
        (3.0, 3, "whole number 3, got 3.0: divide whole numbers with //"),
        (True, 1, "expected a number"),
        (1.0 + 1e-7, 1.0, None),
        (2.0, 1.0, "expected 1.0"),
        ((1, 2), [1, 2], None),
        ((1,), (1, 2), "expected 2 results, got 1"),
        ((1, 3), (1, 2), "in result [1]"),
        (torch.tensor([1.0]), (1, 2), "in a tuple"),
        ({"a": 1}, {"a": 1}, None),
        ({"b": 1}, {"a": 1}, "keys"),
        ("cat", "dog", "expected 'dog'"),
        (torch.tensor([1.0]), torch.tensor([1]), "type int64, got float32"),
        (torch.tensor(float("nan")), torch.tensor(float("nan")), None),
    ),
)
def test_difference(got, expected, found):
    result = difference(got, expected)
    assert (result is None) if found is None else (found in result)


def test_hints_come_one_after_the_other_and_only_when_asked_for():
    widget = hint("01.1")
    assert widget.text.value == "" and widget.button.description == "Hint 1 of 3"
    for k in (1, 2, 3, 3):
        widget.button.click()
        assert f"hint {k} of 3" in widget.text.value and widget.text.value.count("\n") == k - 1
    assert "out[i, j] =" in widget.text.value and widget.button.disabled
    with pytest.raises(LookupError):
        hint("01.99")


def test_to_run_a_cell_with_hints_again_shows_no_more_of_them():
    first = hint("01.1")
    first.next()
    for _ in range(3):
        again = hint("01.1")
    assert again.text.value == first.text.value and again.button.description == "Hint 2 of 3"


def test_where_the_input_fails_on_purpose_the_error_comes_through_and_the_input_stays(told):
    def swallows(model, name, image):
        try:
            return references.find("03.1").function(model, name, image)
        except RuntimeError:
            return image

    check("03.1", swallows)
    assert "RuntimeError must come through" in repr(told[-1])

    def another_error(model, name, image):
        try:
            return references.find("03.1").function(model, name, image)
        except RuntimeError as error:
            raise ValueError("mine") from error

    check("03.1", another_error)
    assert "It stopped with ValueError: mine" in repr(told[-1])


@pytest.mark.parametrize(
    ("value", "text"),
    (
        (torch.tensor(0.123456789), "0.123457"),
        (torch.tensor([1.0, 2.5]), "[1, 2.5]"),
        (torch.tensor([[1e-5, 3.0]]), "[[1e-05, 3]]"),
        (torch.tensor([4, 5]), "[4, 5]"),
        (torch.zeros(9, 9), "tensor of shape (9, 9)"),
        (0.1 + 0.2, "0.3"),
    ),
)
def test_results_are_shown_short_but_not_rounded_to_nothing(value, text):
    assert exercise._short(value) == text


@pytest.mark.parametrize("number", ("77", 1, "01.1"))
def test_progress_of_a_lecture_that_does_not_exist(number):
    with pytest.raises(LookupError, match="no lecture .* Lectures: 00, 01"):
        progress(number)


def test_progress_lists_done_and_open(told):
    check("01.1", references.find("01.1").function)
    check("01.2", lambda *args: 0)
    table = progress()
    states = {id: done for id, _, done in table.rows}
    assert states["01.1"] and not states["01.2"] and not states["01.bug"]
    assert "1 of 5 done" in repr(table) and "\u2713 done" in table._repr_html_()
    assert "Nothing met yet" not in repr(progress("00")) and "0 of 3 done" in repr(progress("00"))


def test_what_was_done_to_a_network_is_told_and_named_only_when_true(told):
    """A record that deletes or retypes is no hook that stays; a hook that stays is named."""

    def leaves_its_hook(model, name, image):
        kept = []
        model.get_submodule(name).register_forward_hook(lambda *seen: kept.append(seen[2].detach().clone()))
        model(image)
        return kept[0]

    right = references.find("03.1").function

    def retypes(model, name, image):
        result = right(model, name, image)
        model.requires_grad_(True)
        return result

    def deletes(model, name, image):
        result = right(model, name, image)
        del model.twice.weight
        return result

    check("03.1", leaves_its_hook)
    assert "The hook is still there" in repr(told[-1])
    for answer, text in ((retypes, "asks for a gradient now"), (deletes, "'twice.weight' is gone")):
        check("03.1", answer)
        assert text in repr(told[-1]) and "hook is still there" not in repr(told[-1])


def test_a_tensor_without_a_value_is_no_number():
    assert "without a value" in difference(torch.zeros((), device="meta"), 1.0)
