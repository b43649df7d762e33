"""What a student types (`check`, `hint`, `predict`, `quiz`, `progress`, `TODO`); what builds a lecture."""

from cnnlab.course.exercise import TODO, check
from cnnlab.course.hints import hint
from cnnlab.course.predict import predict
from cnnlab.course.progress import progress
from cnnlab.course.quiz import quiz

__all__ = ["TODO", "check", "hint", "predict", "progress", "quiz"]
