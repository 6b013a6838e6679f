from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, update

from preread.findings.prediction import Prediction, Unlikeness
from preread.ledger.arrival import Arrival, Event, EventKind
from preread.ledger.errors import LedgerError
from preread.ledger.forwarder import Forwarder
from preread.ledger.job import JobState, Level
from preread.ledger.journal import Journal
from preread.ledger.schema import OutcomeRow
from preread.ledger.sql import SqlLedger

FAR = Unlikeness(3.5, 1.75)


def arrive(journal: Journal, forwarder: Forwarder, *arrivals: Arrival) -> None:
    for arrival in arrivals:
        journal.arrive(arrival)
        journal.stored(arrival.instance)
    while forwarder.step():
        pass


def test_a_stored_instance_becomes_a_pending_job(
    journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: Any, clock: Any
) -> None:
    arrive(journal, forwarder, arrival_of())
    (job,) = ledger.jobs()
    assert (job.state, job.reason, job.attempts) == (JobState.PENDING, "", 0)
    assert (job.instance, job.SOPInstanceUID) == (arrival_of().instance, "2.25.10")
    assert (job.models, job.fingerprint) == (("MobileNetV2", "InceptionV3"), "f" * 64)
    assert (job.created, job.updated) == (clock.now, clock.now)
    current = journal.current(job.instance)
    assert current is not None
    assert job.generation == current.generation
    assert ledger.job(job.id) == job


def test_an_instance_without_models_is_unread_for_the_stated_reason(
    journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: Any
) -> None:
    arrive(journal, forwarder, arrival_of(models=(), work=False, reason="no model reads SR"))
    (job,) = ledger.jobs()
    assert (job.state, job.reason) == (JobState.UNREAD, "no model reads SR")
    assert ledger.reserve("me", 10, 60) == []


def test_a_copy_without_models_is_work(
    journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: Any
) -> None:
    arrive(journal, forwarder, arrival_of(models=(), work=True, reason="no model reads MR"))
    (job,) = ledger.reserve("me", 10, 60)
    assert job.models == ()
    assert ledger.leave_unread(job, "no model reads MR")
    assert ledger.jobs()[0].state is JobState.UNREAD


def test_jobs_are_lent_oldest_first_and_once(
    journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: Any
) -> None:
    arrive(journal, forwarder, *(arrival_of(number) for number in range(5)))
    first, second = ledger.reserve("a", 2, 60), ledger.reserve("b", 9, 60)
    assert [job.instance for job in first + second] == [arrival_of(n).instance for n in range(5)]
    assert ledger.reserve("c", 9, 60) == []
    assert {job.owner for job in first} == {"a"}
    assert ledger.counts()[JobState.RUNNING] == 5


def test_what_the_models_said_is_kept_as_they_said_it(
    journal: Journal,
    ledger: SqlLedger,
    forwarder: Forwarder,
    arrival_of: Any,
    prediction: Prediction,
) -> None:
    arrive(journal, forwarder, arrival_of())
    (job,) = ledger.reserve("me", 1, 60)
    other = replace(prediction, model="InceptionV3")
    assert ledger.acknowledge(job, [prediction, other])
    (result,) = ledger.results(Level.INSTANCE, job.instance)
    assert result.predictions == (prediction, other)
    assert (result.record.state, result.record.job) == (JobState.DONE, job.id)
    shown = result.to_json()
    assert shown["Results"][0]["Probabilities"] == {"Benign": 0.3, "Malignant": 0.7}
    assert shown["Results"][0]["Frames"] == [[0.2, 0.8], [0.4, 0.6]]
    assert not ledger.acknowledge(job, [prediction]), "it is no longer held"


def test_what_was_outside_stays_outside_and_shows_no_class(
    journal: Journal,
    ledger: SqlLedger,
    forwarder: Forwarder,
    arrival_of: Any,
    prediction: Prediction,
) -> None:
    arrive(journal, forwarder, arrival_of())
    (job,) = ledger.reserve("me", 1, 60)
    inside = replace(prediction, unlikeness=Unlikeness(1.5, 1.75), backbone_sha256="1" * 64)
    outside = replace(prediction, unlikeness=Unlikeness(3.5, 1.75))
    marked = replace(prediction, warning="not measured on this kind of image")
    assert ledger.acknowledge(job, [prediction, inside, outside, marked])
    (result,) = ledger.results(Level.INSTANCE, job.instance)
    assert result.predictions == (prediction, inside, outside, marked)
    silent, near, far, _ = result.to_json()["Results"]
    assert (silent["OutOfDistribution"], silent["Withheld"]) == (None, False)
    assert near["OutOfDistribution"] == {"Score": 1.5, "Threshold": 1.75, "Outside": False}
    assert (near["Withheld"], near["BackboneSHA256"]) == (False, "1" * 64)
    assert near["Probabilities"] == {"Benign": 0.3, "Malignant": 0.7}
    assert far["OutOfDistribution"] == {"Score": 3.5, "Threshold": 1.75, "Outside": True}
    assert (far["Withheld"], far["Reason"]) == (True, "unlike its training data")
    assert [silent["Class"], far["Class"]] == ["Malignant", None]
    numbers = ("Class", "Probabilities", "Frames")
    assert list(far).index("Reason") < min(map(list(far).index, numbers))
    assert (far["Probabilities"], far["Frames"]) == (None, None)


def test_equal_shares_that_an_earlier_version_wrote_are_not_shown(
    journal: Journal,
    ledger: SqlLedger,
    forwarder: Forwarder,
    arrival_of: Any,
    prediction: Prediction,
    url: str,
) -> None:
    arrive(journal, forwarder, arrival_of())
    (job,) = ledger.reserve("me", 1, 60)
    said = [replace(prediction, withheld="made for pictures"), replace(prediction, unlikeness=FAR)]
    assert ledger.acknowledge(job, said)
    engine = create_engine(url)
    with engine.begin() as connection:
        shares = {"probabilities": [0.5, 0.5], "frames": [[0.5, 0.5], [0.5, 0.5]]}
        connection.execute(update(OutcomeRow).values(**shares))
        # Before there were reasons, an image was known to be outside by its score alone.
        connection.execute(update(OutcomeRow).where(OutcomeRow.position == 1).values(withheld=""))
    engine.dispose()
    (result,) = ledger.results(Level.INSTANCE, job.instance)
    assert result.predictions == tuple(said)
    for shown in result.to_json()["Results"]:
        assert (shown["Class"], shown["Probabilities"], shown["Frames"]) == (None, None, None)


@pytest.mark.parametrize(
    ("level", "identifier"),
    [
        (Level.INSTANCE, "2.25.11"),
        (Level.SERIES, "2.25.2"),
        (Level.STUDY, "2.25.3"),
        (Level.SERIES, None),
        (Level.STUDY, None),
    ],
)
def test_results_are_found_by_orthancs_ids_and_dicom_uids(
    *,
    journal: Journal,
    ledger: SqlLedger,
    forwarder: Forwarder,
    arrival_of: Any,
    level: Level,
    identifier: str | None,
) -> None:
    arrive(journal, forwarder, arrival_of(1), arrival_of(2))
    orthanc = {Level.SERIES: arrival_of().series, Level.STUDY: arrival_of().study}
    found = ledger.instances(level, identifier or orthanc[level])
    wanted = [1] if level is Level.INSTANCE else [1, 2]
    assert [record.instance for record in found] == [arrival_of(n).instance for n in wanted]
    assert found[0].body_parts == ("51185008",)
    assert [r.record for r in ledger.results(level, identifier or orthanc[level])] == found


@pytest.mark.parametrize("identifier", ["", "1.2.3", "2.25.11\x00", "'; DROP TABLE job; --"])
def test_what_does_not_exist_is_not_found(
    journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: Any, identifier: str
) -> None:
    arrive(journal, forwarder, arrival_of(1, SeriesInstanceUID=""))
    for level in Level:
        assert ledger.results(level, identifier) == []
    assert ledger.job(12345) is None


def test_a_resend_supersedes_the_job_that_runs(
    journal: Journal,
    ledger: SqlLedger,
    forwarder: Forwarder,
    arrival_of: Any,
    prediction: Prediction,
) -> None:
    arrive(journal, forwarder, arrival_of())
    (old,) = ledger.reserve("me", 1, 60)
    arrive(journal, forwarder, arrival_of())
    assert not ledger.acknowledge(old, [prediction])
    assert not ledger.fail(old, "reason")
    assert not ledger.leave_unread(old, "reason")
    assert not ledger.superseded(old)
    assert ledger.extend([old], 60) == []
    (new,) = ledger.reserve("me", 1, 60)
    assert new.generation > old.generation
    found = ledger.job(old.id)
    assert found is not None
    assert found.state is JobState.SUPERSEDED
    assert ledger.results(Level.INSTANCE, old.instance)[0].predictions == ()
    assert ledger.acknowledge(new, [prediction])


def test_an_older_store_that_ends_last_is_read_again(
    journal: Journal,
    ledger: SqlLedger,
    forwarder: Forwarder,
    arrival_of: Any,
    prediction: Prediction,
) -> None:
    journal.arrive(arrival_of())
    arrive(journal, forwarder, arrival_of())
    ledger.acknowledge(ledger.reserve("me", 1, 60)[0], [prediction])
    journal.stored(arrival_of().instance)
    forwarder.step()
    (job,) = ledger.reserve("me", 1, 60)
    assert journal.current(job.instance) == (job.generation, False)


def test_results_of_older_pixels_are_not_shown(
    journal: Journal,
    ledger: SqlLedger,
    forwarder: Forwarder,
    arrival_of: Any,
    prediction: Prediction,
) -> None:
    arrive(journal, forwarder, arrival_of())
    ledger.acknowledge(ledger.reserve("me", 1, 60)[0], [prediction])
    arrive(journal, forwarder, arrival_of())
    (result,) = ledger.results(Level.INSTANCE, arrival_of().instance)
    assert (result.predictions, result.record.state) == ((), JobState.PENDING)


def test_a_deleted_instance_stays_deleted(
    journal: Journal,
    ledger: SqlLedger,
    forwarder: Forwarder,
    arrival_of: Any,
    prediction: Prediction,
) -> None:
    arrive(journal, forwarder, arrival_of(1), arrival_of(2))
    running, _pending = ledger.reserve("me", 2, 60)
    journal.deleted(arrival_of(1).instance)
    journal.deleted(arrival_of(2).instance)
    forwarder.step()
    assert not ledger.acknowledge(running, [prediction])
    assert ledger.counts()[JobState.SUPERSEDED] == 2
    assert ledger.results(Level.STUDY, "2.25.3") == []
    assert ledger.request([running.instance]) == []
    arrive(journal, forwarder, arrival_of(1))
    assert len(ledger.results(Level.STUDY, "2.25.3")) == 1


def test_a_try_that_fails_is_repeated_after_a_doubling_pause(
    journal: Journal, open_ledger: Any, arrival_of: Any, clock: Any
) -> None:
    ledger = open_ledger(max_attempts=3, backoff_seconds=2.0)
    arrive(journal, Forwarder(journal, ledger), arrival_of())
    for attempt, pause in ((1, 2.0), (2, 4.0)):
        (job,) = ledger.reserve("me", 1, 60)
        assert ledger.fail(job, f"try {attempt}")
        clock.advance(pause - 0.01)
        assert ledger.reserve("me", 1, 60) == []
        clock.advance(0.01)
    (job,) = ledger.reserve("me", 1, 60)
    assert (job.attempts, job.reason) == (2, "try 2")
    assert ledger.fail(job, "the last one")
    (job,) = ledger.jobs(JobState.FAILED)
    assert (job.attempts, job.reason) == (3, "the last one")
    clock.advance(1e6)
    assert ledger.reserve("me", 1, 60) == []


def test_a_failed_job_can_be_tried_again(
    journal: Journal,
    ledger: SqlLedger,
    forwarder: Forwarder,
    arrival_of: Any,
    prediction: Prediction,
) -> None:
    arrive(journal, forwarder, arrival_of())
    (job,) = ledger.reserve("me", 1, 60)
    assert not ledger.retry(job.id), "it runs"
    ledger.fail(job, "it is broken", retry=False)
    assert ledger.retry(job.id)
    assert not ledger.retry(job.id), "it is pending"
    (again,) = ledger.reserve("me", 1, 60)
    assert (again.id, again.attempts) == (job.id, 0)
    assert not ledger.acknowledge(job, [prediction]), "that was an earlier reservation"
    assert ledger.acknowledge(again, [prediction])
    assert not ledger.retry(12345)


def test_a_failed_job_of_older_pixels_is_not_tried_again(
    journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: Any
) -> None:
    arrive(journal, forwarder, arrival_of())
    (job,) = ledger.reserve("me", 1, 60)
    ledger.fail(job, "it is broken", retry=False)
    arrive(journal, forwarder, arrival_of())
    assert not ledger.retry(job.id)
    (job,) = ledger.reserve("me", 1, 60)
    ledger.fail(job, "it is broken", retry=False)
    ledger.request([job.instance])
    assert not ledger.retry(job.id), "a newer job is open"


def test_a_lease_that_runs_out_returns_the_work(
    *,
    journal: Journal,
    ledger: SqlLedger,
    forwarder: Forwarder,
    arrival_of: Any,
    clock: Any,
    prediction: Prediction,
) -> None:
    arrive(journal, forwarder, arrival_of(1), arrival_of(2))
    lost, kept = ledger.reserve("lost", 2, 60)
    clock.advance(50)
    assert ledger.extend([kept], 60) == [kept]
    clock.advance(11)
    (again,) = ledger.reserve("other", 2, 60)
    assert (again.id, again.interruptions, again.attempts) == (lost.id, 1, 0)
    assert not ledger.acknowledge(lost, [prediction])
    assert not ledger.fail(lost, "late")
    assert ledger.extend([lost, kept], 60) == [kept]
    assert ledger.acknowledge(again, [prediction])
    assert ledger.acknowledge(kept, [prediction])


def test_a_late_answer_counts_while_nobody_else_has_the_job(
    *,
    journal: Journal,
    ledger: SqlLedger,
    forwarder: Forwarder,
    arrival_of: Any,
    clock: Any,
    prediction: Prediction,
) -> None:
    arrive(journal, forwarder, arrival_of())
    (job,) = ledger.reserve("me", 1, 60)
    clock.advance(1000)
    assert ledger.acknowledge(job, [prediction])


def test_an_image_that_brings_down_the_runner_each_time_is_given_up(
    journal: Journal, open_ledger: Any, arrival_of: Any
) -> None:
    ledger = open_ledger(max_interruptions=3)
    arrive(journal, Forwarder(journal, ledger), arrival_of(1), arrival_of(2))
    for turn in range(3):
        (job,) = ledger.reserve("me", 1, 60)
        assert job.instance == arrival_of(1 + turn % 2).instance, "the others come first"
        assert ledger.release_owner("somebody else") == 0
        assert ledger.release_owner("me") == 1
    for _ in range(3):
        ledger.reserve("me", 1, 60)
        ledger.release_owner("me")
    failed = ledger.jobs(JobState.FAILED)
    assert len(failed) == 2
    assert "3 times while it held this image" in failed[0].reason
    assert ledger.retry(failed[0].id)


def test_what_is_released_was_not_tried(
    journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: Any
) -> None:
    arrive(journal, forwarder, arrival_of(1), arrival_of(2))
    jobs = ledger.reserve("me", 2, 60)
    assert ledger.release(jobs) == 2
    assert ledger.release(jobs) == 0
    again = ledger.reserve("me", 2, 60)
    assert [(job.id, job.attempts, job.interruptions) for job in again] == [
        (job.id, 0, 0) for job in jobs
    ]


def test_a_result_that_orthanc_did_not_take_is_superseded(
    journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: Any
) -> None:
    arrive(journal, forwarder, arrival_of())
    (job,) = ledger.reserve("me", 1, 60)
    assert ledger.superseded(job)
    assert ledger.jobs()[0].state is JobState.SUPERSEDED


def test_an_analysis_makes_one_open_job_per_instance(
    journal: Journal,
    ledger: SqlLedger,
    forwarder: Forwarder,
    arrival_of: Any,
    prediction: Prediction,
) -> None:
    done, pending, unread = arrival_of(1), arrival_of(2), arrival_of(3, models=(), work=False)
    arrive(journal, forwarder, done, pending, unread)
    (first,) = ledger.reserve("me", 1, 60)
    ledger.acknowledge(first, [prediction])
    wanted = [pending.instance, done.instance, unread.instance, arrival_of(9).instance]
    numbers = ledger.request(wanted)
    assert len(numbers) == 2, "nothing applies to the third, the fourth never arrived"
    assert ledger.request(wanted) == numbers
    jobs = {job.instance: job for job in ledger.reserve("me", 9, 60)}
    assert {job.id for job in jobs.values()} == set(numbers)
    assert jobs[done.instance].generation == first.generation
    assert jobs[done.instance].models == first.models
    (result,) = ledger.results(Level.INSTANCE, done.instance)
    assert result.predictions == (prediction,), "shown until there is a newer one"
    assert result.record.state is JobState.RUNNING


def test_an_analysis_may_name_models(
    journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: Any
) -> None:
    pending, unread = arrival_of(1), arrival_of(2, models=(), work=False)
    arrive(journal, forwarder, pending, unread)
    numbers = ledger.request([pending.instance, unread.instance], ["ResNet50V2"], "e" * 64)
    jobs = ledger.reserve("me", 9, 60)
    assert [job.id for job in jobs] == numbers
    assert {(job.models, job.fingerprint) for job in jobs} == {(("ResNet50V2",), "e" * 64)}
    ledger.request([pending.instance], ["other"])
    found = ledger.job(numbers[0])
    assert found is not None
    assert found.models == ("ResNet50V2",), "it runs already"


def test_jobs_are_listed_by_state_and_time(
    journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: Any, clock: Any
) -> None:
    arrive(journal, forwarder, arrival_of(1))
    early = clock.now
    clock.advance(10)
    arrive(journal, forwarder, arrival_of(2), arrival_of(3, models=(), work=False))
    assert [job.instance for job in ledger.jobs(JobState.PENDING)] == [
        arrival_of(2).instance,
        arrival_of(1).instance,
    ]
    assert len(ledger.jobs(limit=1)) == 1
    assert ledger.jobs(limit=5, offset=1) == ledger.jobs(limit=5)[1:]
    assert len(ledger.jobs(since=early + timedelta(seconds=1))) == 2
    assert len(ledger.jobs(since=early)) == 3
    assert ledger.counts() == {
        **dict.fromkeys(JobState, 0),
        JobState.PENDING: 2,
        JobState.UNREAD: 1,
    }


def test_events_are_taken_once(
    journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: Any
) -> None:
    journal.arrive(arrival_of())
    journal.stored(arrival_of().instance)
    events = journal.events_after(0)
    for _ in range(3):
        ledger.apply(journal.uuid, events)
    assert len(ledger.jobs()) == 1
    assert ledger.cursor(journal.uuid) == 1
    assert ledger.cursor("another") is None


def test_an_event_that_comes_late_changes_nothing_but_the_cursor(
    ledger: SqlLedger, arrival_of: Any, clock: Any
) -> None:
    def event(seq: int, kind: EventKind, generation: int) -> Event:
        return Event(seq, kind, arrival_of().instance, generation, clock.now, arrival_of())

    ledger.apply("j", [event(1, EventKind.STORED, 7)])
    before = ledger.jobs()
    ledger.apply("j", [event(2, EventKind.DELETED, 6), event(3, EventKind.STORED, 5)])
    assert ledger.jobs() == before
    assert ledger.cursor("j") == 3
    ledger.apply("j", [event(4, EventKind.STORED, 9), event(5, EventKind.DELETED, 8)])
    assert [job.generation for job in ledger.jobs(JobState.PENDING)] == [9]


def test_the_deletion_of_what_the_ledger_never_knew_is_passed_over(
    journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: Any
) -> None:
    journal.deleted(arrival_of().instance)
    assert forwarder.step() == 1
    assert ledger.generations("", 10) == []


def test_nodes_that_share_a_ledger_do_not_see_each_others_work(
    journal: Journal, open_ledger: Any, arrival_of: Any
) -> None:
    here, there = open_ledger(node="here"), open_ledger(node="there")
    arrive(journal, Forwarder(journal, here), arrival_of())
    assert there.reserve("me", 1, 60) == []
    assert there.counts()[JobState.PENDING] == 0
    assert there.results(Level.STUDY, "2.25.3") == []
    assert there.request([arrival_of().instance]) == []
    (job,) = here.reserve("me", 1, 60)
    assert there.job(job.id) is None
    here.fail(job, "broken", retry=False)
    assert not there.retry(job.id)


def test_malformed_texts_reach_the_database_harmless(
    journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: Any
) -> None:
    arrive(journal, forwarder, arrival_of(SOPInstanceUID="1.2\x00\ud800" * 500, Modality="\x00"))
    assert len(ledger.reserve("me", 1, 60)) == 1


def test_times_need_a_zone(ledger: SqlLedger, clock: Any) -> None:
    with pytest.raises(LedgerError):
        ledger.jobs(since=clock.now.replace(tzinfo=None))
