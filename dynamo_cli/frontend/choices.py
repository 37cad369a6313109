"""Makes the choices of an answer: plain ones, or careful ones for what cannot be done in passing."""

from __future__ import annotations

from dynamo_cli.frontend.alignment import Alignment, Entry
from dynamo_cli.frontend.annotations import prompt_text
from dynamo_cli.frontend.answer import Answer
from dynamo_cli.frontend.careful import Care, CarefulChoice
from dynamo_cli.frontend.choice import Choice
from dynamo_cli.frontend.models import ServedModel
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.protocol.openai import CompletionRequest, GenerateRequest
from dynamo_cli.text.detokenizer import Detokenizer
from dynamo_cli.text.stops import StopStrings
from dynamo_cli.text.tokenizer import Tokenizer


class ChoiceMaker:
    """For one request: `make` is called for each choice in turn, the `n` of the first prompt first."""

    def __init__(self, model: ServedModel, request: GenerateRequest, answer: Answer) -> None:
        self._model = model
        self._request = request
        self._answer = answer
        self._stops = request.stops
        self._skip_special = request.skip_special_tokens is not False
        self._echoes = isinstance(request, CompletionRequest) and bool(request.echo)
        self._logprobs = request.alternatives is not None
        special_stops = self._stops and (request.min_tokens or request.include_stop_str_in_output)
        self._careful = bool(self._echoes or self._logprobs or special_stops)

    def make(self, index: int, engine_request: EngineRequest) -> Choice:
        bundle = self._model.bundle
        tokenizer = None if bundle is None else bundle.tokenizer
        detokenizer = None if tokenizer is None else Detokenizer(tokenizer, skip_special_tokens=self._skip_special)
        stops = StopStrings(self._stops) if self._stops else None
        if not self._careful:
            return Choice(self._answer, index, engine_request, detokenizer, stops)
        echo = self._echo(index, engine_request)
        care = Care(
            echo=echo,
            stops_after=0 if tokenizer is None else self._request.min_tokens or 0,
            shows_stop=bool(self._request.include_stop_str_in_output),
        )
        alignment = None
        if self._logprobs and tokenizer is not None:
            prompt = self._prompt_entries(tokenizer, engine_request.token_ids) if self._echoes else []
            alignment = Alignment(prompt, len(echo))
        return CarefulChoice(self._answer, index, engine_request, detokenizer, stops, care, alignment)

    def _echo(self, index: int, engine_request: EngineRequest) -> str:
        if not self._echoes:
            return ""
        return prompt_text(self._model, self._request, index // self._answer.per_prompt, engine_request)

    def _prompt_entries(self, tokenizer: Tokenizer, ids: list[int]) -> list[Entry]:
        detokenizer, letters, entries = Detokenizer(tokenizer, skip_special_tokens=self._skip_special), 0, []
        for token in ids:
            entries.append(Entry(token, None, [], letters))
            letters += len(detokenizer.push([token]))
        return entries
