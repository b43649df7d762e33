"""Predictions are locked before the truth shows; quizzes reply to every choice."""

import sys

import pytest
import torch

from cnnlab.course import predict, quiz
from cnnlab.course.progress import clear, guess
from cnnlab.course.quiz import load


@pytest.fixture(autouse=True)
def empty_ledger():
    clear()
    yield
    clear()


def test_the_truth_stays_hidden_and_uncomputed_until_the_guess_is_locked():
    computed = []
    asked = predict("99.p1", "How <many>?", options=[1, 2], truth=lambda: computed.append(1) or 2)
    assert asked.answer.value == "" and not computed and "&lt;many&gt;" in asked.children[0].value
    asked.button.click()
    assert "Choose first" in asked.answer.value and not computed
    asked.choice.value = 1
    asked.button.click()
    assert "guessed <b>1</b>" in asked.answer.value and "is <b>2</b>" in asked.answer.value
    assert "surprise" in asked.answer.value and asked.choice.disabled
    assert asked.button.description == "Locked" and not asked.button.disabled  # it keeps the keyboard's focus
    asked.button.click()
    assert "guessed <b>1</b>" in asked.answer.value and computed == [1, 1]


def test_a_guess_is_locked_for_good_also_in_a_cell_that_is_run_again():
    predict("99.p1", "?", options=[1, 2], truth=2).lock(1)
    again = predict("99.p1", "?", options=[1, 2], truth=2)
    again.lock(2)
    assert "guessed <b>1</b>" in again.answer.value
    assert "As you said" not in again.answer.value


def test_a_right_guess_a_number_and_a_truth_that_fails():
    right = predict("99.p2", "?", truth=4.0)
    right.lock(4.0)
    assert "As you said" in right.answer.value
    broken = predict("99.p3", "?", options=[1], truth=lambda: 1 / 0)
    broken.lock(1)
    assert "Your guess 1 is locked" in broken.answer.value and "ZeroDivisionError" in broken.answer.value


def test_a_number_must_be_typed_before_it_can_be_locked():
    asked = predict("99.p4", "?", truth=0.1 + 0.2)
    for text in ("", "many", "1,000", "nan", "inf", "1.000,5"):
        asked.choice.value = text
        asked.button.click()
        assert "Type a number first" in asked.answer.value and guess("99.p4") is None
    asked.choice.value = "0,3"
    asked.button.click()
    assert "As you said" in asked.answer.value
    whole = predict("99.p5", "?", truth=12)
    whole.choice.value = "50"
    whole.button.click()
    assert "guessed <b>50</b>" in whole.answer.value  # as it was typed
    assert predict("99.p4", "?", truth=0.1 + 0.2).choice.value == "0.3"


def test_a_tensor_as_truth():
    asked = predict("99.p5", "?", options=[3, 4], truth=torch.tensor(3))
    asked.lock(3)
    assert "is <b>3</b>" in asked.answer.value and "As you said" in asked.answer.value
    assert asked.choice.value == 3
    broken = predict("99.p6", "?", options=[3], truth=torch.tensor([3, 3]))
    broken.lock(3)
    assert "truth failed" in broken.answer.value


@pytest.mark.parametrize("lecture", ("00", "01"))
def test_every_quiz_replies_to_every_choice_and_has_one_right_answer(lecture):
    questions_ = load(lecture)
    assert len(questions_) >= 2
    for key, question in questions_.items():
        asked = quiz(f"{lecture}.{key}")
        assert asked.choice.value is None and asked.reply.value == ""
        verdicts = []
        for index in range(len(question["options"])):
            asked.choose(index)
            verdicts.append("Right." in asked.reply.value)
            assert len(asked.reply.value) > 60
        assert sum(verdicts) == 1


GOOD = (
    '[q1]\nquestion = "?"\n[[q1.options]]\ntext = "a"\nright = true\nfeedback = "f"\n'
    '[[q1.options]]\ntext = "b"\nfeedback = "<b>"\n'
)


@pytest.mark.parametrize(
    ("text", "problem"),
    (
        (GOOD.replace('question = "?"', ""), "no question"),
        (GOOD.replace("right = true", ""), "exactly one right"),
        (GOOD + "right = true\n", "exactly one right"),
        (GOOD.replace('feedback = "f"', ""), "feedback"),
        (GOOD.split('[[q1.options]]\ntext = "b"')[0], "two options"),
    ),
)
def test_a_broken_quiz_file_is_named(text, problem, tmp_path, monkeypatch):
    (tmp_path / "98.toml").write_text(text)
    monkeypatch.setattr(sys.modules["cnnlab.course.quiz"], "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=f"98.toml: quiz 'q1' .*{problem}"):
        quiz("98.q1")


def test_feedback_is_text_and_a_missing_quiz_is_named(tmp_path, monkeypatch):
    (tmp_path / "98.toml").write_text(GOOD)
    monkeypatch.setattr(sys.modules["cnnlab.course.quiz"], "FOLDER", tmp_path)
    asked = quiz("98.q1")
    asked.choose(1)
    assert "&lt;b&gt;" in asked.reply.value
    with pytest.raises(LookupError, match="98.q1"):
        quiz("98.q7")


@pytest.mark.parametrize("id", ("abc", "01p1", "1.p1", None))
def test_ids_that_are_none_are_refused(id):
    with pytest.raises(ValueError, match="'01.p1'"):
        predict(id, "?", truth=1)
    with pytest.raises(LookupError, match="no quiz"):
        quiz(id)
