"""The contents of a report, computed once: for the terminal, for report.txt and for the page."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scaling import results
from scaling.contracts.metric import all_recorded_here, metric_of
from scaling.contracts.version import __version__
from scaling.contracts.words import counted
from scaling.reporting import page, page_parts, text
from scaling.reporting.answer import Answer, Setting, answer, settings_of
from scaling.reporting.answer_lines import lines
from scaling.reporting.caveats import doubts, uncertain_optima, without_learning
from scaling.reporting.charts import curves, loss, maps, measure, optima
from scaling.reporting.next_step import Command, next_step
from scaling.reporting.trained import trained
from scaling.storage import plans
from scaling.studies.claims import Verdict
from scaling.studies.study import HasHeadlines, Study
from scaling.studies.sweep_tables import SweepTables

DRAWN = {  # figures that the page draws itself: a browser without scripts shows these
    "loss": ("loss_against_lr",),
    "law": ("optimal_lr",),
    "map": ("loss_heatmap", "clip_frequency"),
}
BIBTEX = f"""@software{{scaling,
  title = {{scaling: learning rate, batch size and gradient clipping, with intervals}},
  version = {{{__version__}}},
  note = {{sweeps and reports}}
}}"""


ROOM = 10  # lines of headlines, if losses mean nothing


@dataclass(frozen=True)
class Content:
    """The content of a report about a sweep."""

    sweep: SweepTables
    answer: Answer
    sentences: tuple[str, ...]
    verdicts: tuple[tuple[str, Verdict], ...]
    lacking: tuple[plans.Lack, ...]
    notes: tuple[str, ...]  # warnings of reading, which a terminal has shown already
    command: str  # of the sweep; empty if not known

    @classmethod
    def of(
        cls,
        sweep: SweepTables,
        studies: Sequence[Study],
        lacking: Sequence[plans.Lack],
        command: Command,
        notes: Sequence[str],
    ) -> "Content":
        """Compute the contents.

        Args:
            sweep: the tables.
            studies: those that apply.
            lacking: commands with cells left to train.
            command: of the sweep.
            notes: warnings of reading, which become caveats.
        """
        settings = settings_of(sweep)
        verdicts = tuple(pair for study in studies for pair in study.verdicts(sweep))
        metric = metric_of(sweep.rows)
        said = [(study, tuple(study.sentences(sweep))) for study in studies]
        sentences = tuple(sentence for _, each in said for sentence in each)
        others = [s for study, each in said if not isinstance(study, HasHeadlines) for s in each]
        headlines = _headlines(sweep, studies)
        stated = [f"The loss is {metric.loss}: {metric.name} is maximised"]
        step = next_step(sweep.rows, () if sweep.over else settings, lacking, command)
        caveats = [*([] if metric.is_loss else stated), *doubts(sweep.rows), *notes]
        if headlines and not metric.informative:
            others = []
        over = bool(sweep.over)
        found = answer(settings, others, verdicts, caveats, step, headlines=headlines, over=over)
        return cls(sweep, found, sentences, verdicts, tuple(lacking), tuple(notes), command.text)

    @cached_property
    def table(self) -> str:
        """The losses of the runs as a table."""
        return text.summary_table(self.sweep.rows, with_caveats=False)

    def short(self) -> str:
        """The answer, the table and the worst caveats, for the terminal."""
        caveats = [text for text in self.answer.caveats if text not in self.notes]
        rest = len(caveats) - 3
        more = [f"{counted(rest, 'more caveat')} on the page"] if rest > 0 else []
        undone = plans.lines(self.lacking)
        parts = [*lines(self.answer), "", self.table, *caveats[:3], *more, *undone]
        return "\n".join(parts)

    def text(self, command: str) -> str:
        """Everything in words: answer, table, all caveats, findings of the studies and claims."""
        rows, flat = self.sweep.rows, self.sweep.flat
        caveats = [*self.answer.caveats, *uncertain_optima(rows, flat=flat)]
        findings = [*self.sentences, *text.claim_lines(self.verdicts)]
        parts = [*lines(self.answer), "", self.table, *caveats, *plans.lines(self.lacking), ""]
        parts += [*findings, *([f"This report: {command}"] if command else []), ""]
        return "\n".join(parts)

    def html(
        self,
        out: Path,
        pictures: Sequence[page.Picture],
        tables: Sequence[page.Table],
        report_command: str,
        again: Mapping[tuple[str, str], str],
    ) -> str:
        """The page.

        Args:
            out: folder of the page.
            pictures: figures of the studies.
            tables: of the studies.
            report_command: the command that writes the report.
            again: the command that trains a run again, by study and run.
        """
        sweep = self.sweep
        settings = [one for one in self.answer.settings if one.drawable]
        rows = sweep.rows
        specs = self._charts(settings)
        over_lr = "loss" in specs
        drawn = {name for names in DRAWN.values() for name in names} if over_lr else set()
        others = [picture for picture in pictures if picture.name not in drawn]
        claims, blocked = page_parts.claims_part(self.verdicts)
        shades = {key: one.title for key, one in maps.shades(rows).items() if f"map_{key}" in specs}
        runs = page_parts.runs_part(rows, results.places(*sweep.folders), out, again)
        data = {
            "charts": specs,
            "setting": settings[0].title if settings else "",
            "predictions": optima.predictions(settings),
            "curves": curves.curves(sweep, settings) if "curves" in specs else {},
        }
        sections = {
            "answer": "Answer",
            "loss": "Loss against lr" if over_lr else "",
            "varied": "Results" if "varied" in specs else "",
            "law": "Best lr and batch" if "law" in specs else "",
            "map": "Map" if shades else "",
            "curves": "Learning curves" if "curves" in specs else "",
            "figures": "" if over_lr or not others else "Figures",
            "claims": "Published claims" if claims or blocked else "",
            "mechanics": "Mechanics" if self.sentences or tables or others else "",
            "runs": "Runs",
            "methods": "Methods, downloads",
        }
        return page.render(
            data,
            title=", ".join(sorted(rows["study"].dropna().unique())) or "runs",
            status=text.status_line(rows, sum(lack.cells for lack in self.lacking)),
            date=f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M}",
            contents=[(key, name) for key, name in sections.items() if name],
            facts=trained(rows, sweep.folders),
            command=self.command,
            **page_parts.answer_part(self.answer),
            loss_title=f"{metric_of(rows).label.capitalize()} against learning rate",
            loss_note=text.loss_note(any(o.has_bowl for one in settings for o in one.optima))
            + text.not_shown(rows),
            not_shown=text.not_shown(rows),
            setting_names=[setting.title for setting in settings],
            measures=measure.measures(rows) if over_lr else measure.accuracy_first(rows),
            references=without_learning(rows[rows["status"] != "corrupt"]),
            maps=shades,
            static={
                part: [picture for picture in pictures if picture.name in names]
                for part, names in DRAWN.items()
            },
            pictures=[] if over_lr else others,
            claims=claims,
            blocked=blocked,
            claims_are=text.CLAIMS_ARE[0].upper() + text.CLAIMS_ARE[1:],
            claims_folded=not all_recorded_here(rows),
            testing=text.multiple_testing(len(self.verdicts)),
            details_pictures=others if over_lr else [],
            findings=[*self.sentences, *uncertain_optima(rows, flat=sweep.flat)],
            tables=tables,
            runs=runs,
            glossary=page_parts.glossary(metric_of(rows)),
            provenance=results.provenance(*sweep.folders),
            bibtex=BIBTEX,
            report_command=report_command,
        )

    def _charts(self, settings: Sequence[Setting]) -> dict[str, Any]:
        """The specifications of the interactive figures by name; none without a swept lr."""
        if not settings:
            varied = measure.varied_chart(self.sweep.rows)
            return {"varied": varied} if varied else {}
        specs = {
            "loss": loss.loss_chart(settings),
            "intervals": optima.interval_chart(settings),
            "law": optima.law_chart(settings),
            **{f"map_{key}": spec for key, spec in maps.heatmaps(settings).items()},
            "curves": curves.curve_chart(settings) if curves.known(self.sweep) else None,
        }
        return {name: spec for name, spec in specs.items() if spec}


def _headlines(sweep: SweepTables, studies: Sequence[Study]) -> list[str]:
    """The headlines of studies: one of each, or all that have room if losses mean nothing."""
    asked = [study.headlines(sweep) for study in studies if isinstance(study, HasHeadlines)]
    each = [lines for lines in asked if lines]
    if metric_of(sweep.rows).informative:
        return [lines[0] for lines in each]
    room = ROOM // max(1, len(each))
    cut = [
        [*lines[: room - 1], f"  and {len(lines) - room + 1} more settings in report.txt"]
        if len(lines) > room
        else lines
        for lines in each
    ]
    return [line for lines in cut for line in lines]
