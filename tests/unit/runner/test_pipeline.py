"""The stages together, on a real ledger."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from preread.archive.pacs import PacsFailedError, PacsUnreachableError
from preread.imaging import Frame, Preprocessing, UnreadableImage
from preread.ledger.errors import LedgerError
from preread.ledger.job import JobState, Level
from preread.results import ModelResult, read_block
from preread.runner import reading
from preread.runner.outage import OutageError
from preread.settings import Mode, Placement
from tests.unit.runner.bench import Bench, ct, eventually


def bright(result: ModelResult) -> float:
    return next(one.percentage for one in result.classes if one.name == "Bright")


def test_images_are_read_once_and_carry_their_block(bench: Bench) -> None:
    instances = [bench.arrive(ct(number, level=number)) for number in range(20)]
    bench.run()
    assert bench.states() == {"done": 20}
    assert bench.archive.stores == 20
    for number, instance in enumerate(instances):
        block = read_block(bench.archive.files[instance])
        assert [result.Model for result in block] == ["small", "large"]
        assert bright(block[0]) == pytest.approx(number, abs=0.6)
    told = bench.meter.status
    assert told.images_read == 20
    assert all(told.seconds.values())


def test_batches_cross_images_and_every_row_finds_its_image(bench: Bench) -> None:
    bench.networks.batch_hint = 4
    instances = [
        bench.arrive(ct(number, level=number * 3, study=f"2.25.5{number % 3}"))
        for number in range(30)
    ]
    bench.run()
    assert max(size for _, size in bench.networks.batches) <= 4
    assert sum(size for model, size in bench.networks.batches if model == "small") == 30
    for number, instance in enumerate(instances):
        for result in read_block(bench.archive.files[instance]):
            assert bright(result) == pytest.approx(number * 3, abs=0.6)


def test_each_frame_is_read_and_the_mean_is_written(bench: Bench) -> None:
    instance = bench.arrive(ct(1, frames=40, level=10))
    bench.run()
    outcome = bench.ledger.results(Level.INSTANCE, instance)[0].predictions[0]
    assert len(outcome.frames) == 40
    bright = [frame[0] for frame in outcome.frames]
    assert bright == sorted(bright)
    assert bright[0] == pytest.approx(0.10, abs=0.01)
    assert bright[-1] == pytest.approx(0.49, abs=0.01)
    assert outcome.probabilities[0] == pytest.approx(np.mean(bright))
    assert len(read_block(bench.archive.files[instance])) == 2


def test_only_the_models_of_the_job_run(bench: Bench) -> None:
    instance = bench.arrive(ct(1), models=["large"])
    bench.run()
    assert [result.Model for result in read_block(bench.archive.files[instance])] == ["large"]
    assert {model for model, _ in bench.networks.batches} == {"large"}


def test_bad_pixel_data_fails_at_once_and_holds_up_no_other(bench: Bench) -> None:
    bad = bench.arrive(ct(1, missing=200))
    good = [bench.arrive(ct(number)) for number in range(2, 6)]
    bench.run()
    assert bench.job(bad).state is JobState.FAILED
    assert bench.job(bad).attempts == 1
    assert bench.job(bad).reason
    assert all(bench.job(instance).state is JobState.DONE for instance in good)
    assert bench.meter.status.last_error == bench.job(bad).reason


def test_what_is_no_image_is_left_unread(bench: Bench) -> None:
    instance = bench.arrive(ct(1, missing=512))
    dataset = pydicom.dcmread(BytesIO(bench.archive.files[instance]))
    del dataset.PixelData
    buffer = BytesIO()
    dataset.save_as(buffer)
    bench.archive.files[instance] = buffer.getvalue()
    bench.run()
    assert bench.job(instance).state is JobState.UNREAD
    assert bench.job(instance).reason == "it has no pixel data"


@pytest.mark.parametrize("placement", list(Placement))
def test_what_this_node_did_not_deidentify_is_never_changed(
    bench: Bench, placement: Placement
) -> None:
    bench.placement = placement
    known, foreign = bench.arrive(ct(1)), bench.arrive(ct(2))
    bench.doubling.made_elsewhere = {"2.25.12"}
    bench.run()
    assert bench.job(known).state is JobState.DONE
    assert bench.job(foreign).state is JobState.UNREAD
    assert "this node did not de-identify it" in bench.job(foreign).reason
    assert bench.archive.files[foreign] == ct(2)
    assert bench.archive.stores == 1


def test_a_bad_frame_fails_the_image_and_leaves_nothing_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:

    def prepare(frame: Frame, how: Preprocessing) -> object:
        if frame.index == 37:
            raise UnreadableImage("frame 37: broken")
        return np.zeros(how.shape, dtype=np.float32)

    monkeypatch.setattr(reading, "prepare", prepare)
    bad = bench.arrive(ct(1, frames=40))
    good = bench.arrive(ct(2))
    bench.run()
    assert (bench.job(bad).state, bench.job(bad).reason) == (JobState.FAILED, "frame 37: broken")
    assert bench.job(good).state is JobState.DONE
    assert read_block(bench.archive.files[bad]) == ()


def test_an_unforeseen_error_names_the_place_and_not_the_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:

    def prepare(frame: Frame, how: Preprocessing) -> object:
        raise TypeError("DOE^JANE")

    monkeypatch.setattr(reading, "prepare", prepare)
    bad = bench.arrive(ct(1))
    bench.run()
    assert bench.job(bad).state is JobState.FAILED
    assert bench.job(bad).attempts == 3
    assert "TypeError (test_pipeline.py:" in bench.job(bad).reason
    assert "DOE" not in bench.job(bad).reason


def test_one_image_that_breaks_a_batch_breaks_no_other(bench: Bench) -> None:
    bench.networks.batch_hint = 8

    def on_predict(batch: NDArray[np.float32]) -> None:
        if (batch > 0.9).all(axis=(1, 2, 3)).any():
            raise RuntimeError("the engine chokes")

    bench.networks.on_predict = on_predict
    bad = bench.arrive(ct(1, level=200))
    good = [bench.arrive(ct(number, level=5)) for number in range(2, 12)]
    bench.run()
    assert bench.job(bad).state is JobState.FAILED
    assert all(bench.job(instance).attempts == 0 for instance in good)
    assert all(read_block(bench.archive.files[instance]) for instance in good)


def test_a_model_that_is_gone_fails_with_that_reason(bench: Bench) -> None:
    bad = bench.arrive(ct(1), models=["small", "retired"])
    bench.run()
    assert bench.job(bad).state is JobState.FAILED
    assert "retired" in bench.job(bad).reason


def test_what_is_gone_from_the_archive_is_superseded(bench: Bench) -> None:
    instance = bench.arrive(ct(1))
    bench.archive.remove(instance)
    bench.run()
    assert bench.job(instance).state is JobState.SUPERSEDED


def test_an_instance_deleted_while_it_is_read_stays_deleted(bench: Bench) -> None:
    instance = bench.arrive(ct(1))
    bench.networks.on_predict = lambda _batch: bench.delete(instance)
    bench.run()
    assert bench.archive.files == {}
    assert bench.states() == {"superseded": 1}


def test_a_resend_while_it_is_read_ends_with_the_newer_pixels(bench: Bench) -> None:
    again = ct(1, level=80)

    def resend(_batch: object) -> None:
        bench.networks.on_predict = lambda _batch: None
        bench.arrive(again)

    bench.networks.on_predict = resend
    instance = bench.arrive(ct(1, level=10))
    bench.run()
    block = read_block(bench.archive.files[instance])
    assert bright(block[0]) == pytest.approx(80, abs=0.6)
    assert bench.states() == {"done": 1, "superseded": 1}


def test_an_error_of_orthanc_is_tried_again(bench: Bench) -> None:
    answers = iter([PacsFailedError("HTTP 500"), PacsUnreachableError("reset")])

    def on_call(name: str, _about: str) -> None:
        if name == "store" and (error := next(answers, None)) is not None:
            raise error

    bench.archive.on_call = on_call
    instance = bench.arrive(ct(1))
    bench.run()
    assert bench.job(instance).state is JobState.DONE
    assert bench.job(instance).attempts == 2
    assert bench.archive.stores == 1


def test_after_the_last_try_it_is_failed_and_can_be_retried(bench: Bench) -> None:
    def broken(name: str, _about: str) -> None:
        if name == "file":
            raise PacsFailedError("GET /instances/{id}/file: Orthanc answers HTTP 500")

    bench.archive.on_call = broken
    instance = bench.arrive(ct(1))
    bench.run()
    assert bench.job(instance).state is JobState.FAILED
    assert "HTTP 500" in bench.job(instance).reason
    bench.archive.on_call = lambda _name, _about: None
    assert bench.ledger.retry(bench.job(instance).id)
    bench.run()
    assert bench.job(instance).state is JobState.DONE


def test_an_outage_of_orthanc_costs_no_image_a_try(bench: Bench) -> None:
    instances = [bench.arrive(ct(number)) for number in range(10)]
    bench.networks.on_predict = lambda _batch: setattr(bench.archive, "down", True)
    pipeline = bench.pipeline(once=False)
    pipeline.start()
    eventually(lambda: bench.states().get("pending") == 10)
    bench.networks.on_predict = lambda _batch: None
    bench.archive.down = False
    eventually(lambda: bench.states() == {"done": 10})
    assert all(bench.job(instance).attempts == 0 for instance in instances)
    assert bench.archive.stores == 10


def test_an_orthanc_that_fails_for_every_image_costs_few_a_try(bench: Bench) -> None:
    """Its disk is full, say: it answers, and every call ends in HTTP 500."""

    def broken(name: str, _about: str) -> None:
        if name == "file":
            raise PacsFailedError("GET /instances/{id}/file: Orthanc answers HTTP 500")

    instances = [bench.arrive(ct(number)) for number in range(12)]
    bench.archive.on_call = broken
    pipeline = bench.pipeline(once=False, rest_seconds=0.05)
    pipeline.start()
    eventually(lambda: bench.meter.status.last_error.endswith("HTTP 500"))
    time.sleep(0.5)  # several rounds of waiting and trying
    assert "failed" not in bench.states()
    bench.archive.on_call = lambda _name, _about: None
    eventually(lambda: bench.states() == {"done": 12})
    assert sum(bench.job(instance).attempts for instance in instances) <= 6


def test_many_broken_files_are_not_in_the_way_of_others(bench: Bench) -> None:
    bad = {bench.arrive(ct(number)) for number in range(8)}

    def broken(name: str, about: str) -> None:
        if name == "file" and about in bad:
            raise PacsFailedError("GET /instances/{id}/file: Orthanc answers HTTP 500")

    bench.archive.on_call = broken
    good = [bench.arrive(ct(number)) for number in range(8, 14)]
    bench.pipeline(once=False, rest_seconds=0.05).start()
    eventually(lambda: all(bench.job(one).state is JobState.DONE for one in good))


def test_such_a_run_that_ends_by_itself_gives_up(bench: Bench) -> None:
    def broken(name: str, _about: str) -> None:
        if name == "file":
            raise PacsFailedError("GET /instances/{id}/file: Orthanc answers HTTP 500")

    for number in range(12):
        bench.arrive(ct(number))
    bench.archive.on_call = broken
    pipeline = bench.run(outage_seconds=0.2, rest_seconds=0.05)
    assert isinstance(pipeline.failure, OutageError)
    assert "done" not in bench.states()


def test_a_run_that_ends_by_itself_does_not_wait_for_ever(bench: Bench) -> None:
    bench.arrive(ct(1))
    bench.archive.down = True
    pipeline = bench.run(outage_seconds=0.2)
    assert isinstance(pipeline.failure, OutageError)
    assert bench.states() == {"pending": 1}


def test_a_ledger_that_fails_for_a_moment_loses_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = bench.ledger.acknowledge
    failures = iter([True, True])

    def acknowledge(*args: object) -> bool:
        if next(failures, False):
            raise LedgerError("ledger: locked")
        return real(*args)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(bench.ledger, "acknowledge", acknowledge)
    instance = bench.arrive(ct(1))
    bench.run()
    assert bench.job(instance).state is JobState.DONE
    assert bench.archive.stores == 1


def test_stopping_finishes_what_is_in_hand_and_returns_the_rest(bench: Bench) -> None:
    for number in range(30):
        bench.arrive(ct(number))
    reading, go_on = threading.Event(), threading.Event()

    def on_predict(_batch: object) -> None:
        reading.set()
        assert go_on.wait(10)

    bench.networks.on_predict = on_predict
    pipeline = bench.pipeline(once=False)
    pipeline.start()
    assert reading.wait(10)
    pipeline.stop()
    go_on.set()
    assert pipeline.join(10)
    states = bench.states()
    assert states["done"] == bench.archive.stores == 1
    assert states["pending"] == 29
    assert all(job.attempts == job.interruptions == 0 for job in bench.ledger.jobs())


def test_a_stage_that_hangs_is_left_and_its_image_returned(bench: Bench) -> None:
    instance = bench.arrive(ct(1))
    reading, go_on = threading.Event(), threading.Event()

    def on_predict(_batch: object) -> None:
        reading.set()
        assert go_on.wait(10)

    bench.networks.on_predict = on_predict
    pipeline = bench.pipeline(once=False)
    pipeline.start()
    assert reading.wait(10)
    pipeline.stop()
    assert not pipeline.join(0.1)
    assert bench.job(instance).state is JobState.PENDING
    go_on.set()
    assert pipeline.join(5)
    assert bench.archive.stores == 0


def test_leases_are_extended_while_an_image_takes_long(bench: Bench) -> None:
    instance = bench.arrive(ct(1))
    go_on = threading.Event()

    def on_predict(_batch: object) -> None:
        assert go_on.wait(60)

    bench.networks.on_predict = on_predict
    pipeline = bench.pipeline(once=False, lease_seconds=4)
    pipeline.start()
    eventually(lambda: bench.job(instance).state is JobState.RUNNING)
    began = datetime.now(UTC)
    eventually(lambda: (datetime.now(UTC) - began).total_seconds() > 6)
    assert bench.ledger.reserve("another", 1, 10) == []
    go_on.set()
    eventually(lambda: bench.job(instance).state is JobState.DONE)


def test_what_was_in_hand_at_a_crash_is_read_one_by_one(bench: Bench) -> None:
    instances = [bench.arrive(ct(number)) for number in range(5)]
    assert len(bench.ledger.reserve("runner", 5, 60)) == 5
    assert bench.ledger.release_owner("runner") == 5
    instances += [bench.arrive(ct(number)) for number in range(10, 13)]
    together: list[int] = []
    bench.networks.on_predict = lambda _batch: together.append(bench.states()["running"])
    bench.run()
    assert bench.states() == {"done": 8}
    assert together[-10:] == [1] * 10
    order = [about for name, about in bench.archive.calls if name == "file"]
    assert set(order[:3]) == set(instances[5:])


def test_derived_results_leave_the_source_and_replace_each_other(bench: Bench) -> None:
    bench.placement = Placement.DERIVED
    bench.archive.overwrite = False
    data = ct(1)
    instance = bench.arrive(data)
    bench.run()
    bench.arrive(data)
    bench.run()
    assert bench.archive.files[instance] == data
    assert len(bench.archive.files) == 2
    derived = next(file for key, file in bench.archive.files.items() if key != instance)
    assert len(read_block(derived)) == 2
    assert bench.archive.stores == 2


def test_a_copy_carries_the_predictions_and_the_original_is_left(bench: Bench) -> None:
    bench.mode = Mode.COPY
    bench.archive.overwrite = False
    data = ct(1)
    instance = bench.arrive(data)
    bench.run()
    bench.arrive(data)
    bench.run()
    assert bench.archive.files[instance] == data
    assert len(bench.archive.files) == 2
    copy = next(file for key, file in bench.archive.files.items() if key != instance)
    assert len(read_block(copy)) == 2
    assert b"2.25.911" in copy


def test_what_no_model_reads_is_copied_all_the_same(bench: Bench) -> None:
    bench.mode = Mode.COPY
    instance = bench.arrive(ct(1), models=(), reason="no model applies: Modality is not MR")
    bench.run()
    assert bench.networks.batches == []
    assert len(bench.archive.files) == 2
    assert bench.job(instance).state is JobState.UNREAD
    assert bench.job(instance).reason == "no model applies: Modality is not MR"


def test_an_object_of_our_own_making_is_not_copied_again(bench: Bench) -> None:
    bench.mode = Mode.COPY
    instance = bench.arrive(ct(90))
    header_uid = bench.job(instance).SOPInstanceUID
    assert header_uid == "2.25.190"
    ours = bench.arrive(ct(1).replace(b"2.25.11\0", b"2.25.91\0"))
    bench.run()
    assert bench.job(ours).state is JobState.UNREAD
    assert "de-identified" in bench.job(ours).reason
