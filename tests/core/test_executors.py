"""Executors: the order of the results, workers that read ahead, workers that die, and shares of a corpus."""

from __future__ import annotations

from multiprocessing import active_children

import pytest

from auricle.core.errors import AuricleError
from auricle.core.executors.base import LocalExecutor
from auricle.core.executors.config import POOL_PAYS, POOL_PAYS_FILES, CorpusSettings, CorpusShard
from auricle.core.executors.pool import TRIES, PoolExecutor
from helpers import corpus_workers


def results(executor, make, parts, messages=None):
    return list(executor.run(make, parts, "{}: {}".format, ([] if messages is None else messages).append))


@pytest.mark.parametrize("executor", [LocalExecutor(), PoolExecutor(2)], ids=["local", "pool"])
def test_results_come_in_the_order_of_the_parts(executor):
    assert results(executor, corpus_workers.doubles, range(20)) == [2 * part for part in range(20)]


def test_a_worker_may_read_more_parts_ahead_than_there_are():
    assert results(PoolExecutor(2), corpus_workers.greedy, range(13)) == list(range(13))


def test_what_a_killed_worker_held_is_done_again(tmp_path):
    assert results(PoolExecutor(2), corpus_workers.mortal_in(tmp_path, once=3), range(12)) == list(range(12))
    assert (tmp_path / "3").exists()


def test_only_the_part_that_kills_its_workers_is_named_after_two_more_tries(tmp_path):
    found = results(PoolExecutor(2), corpus_workers.mortal_in(tmp_path, always=2), range(6))
    assert found[:2] + found[3:] == [0, 1, 3, 4, 5]
    assert found[2] == f"2: the worker process died each of {TRIES} times (SIGKILL, which may mean that memory ran out)"


def test_workers_tell_the_caller_how_far_they_are(tmp_path):
    messages: list[int] = []
    results(PoolExecutor(2), corpus_workers.mortal_in(tmp_path), range(6), messages)
    assert sorted(messages) == list(range(6))


def test_processes_that_cannot_start_end_the_run():
    with pytest.raises(AuricleError, match="end as they start .exit code 7."):
        results(PoolExecutor(2), corpus_workers.still_born, range(3))


def test_an_exception_of_a_worker_is_raised_in_the_caller():
    with pytest.raises(ValueError, match="part 1"):
        results(PoolExecutor(2), corpus_workers.faulty, range(6))


def test_no_process_is_left_when_the_caller_stops_early():
    running, others = PoolExecutor(2), set(active_children())
    stream = running.run(corpus_workers.doubles, range(1000), str, print)
    assert next(stream) == 0
    processes = set(active_children()) - others
    assert len(processes) == 2
    stream.close()
    assert not any(process.is_alive() for process in processes)


def test_auto_is_a_pool_only_for_many_recordings_on_processors():
    auto = CorpusSettings(processes=2)
    assert isinstance(auto.make_executor(POOL_PAYS, "cpu"), PoolExecutor)
    assert isinstance(auto.make_executor(POOL_PAYS - 1, "cpu"), LocalExecutor)
    assert isinstance(auto.make_executor(POOL_PAYS, "cuda"), LocalExecutor)
    assert isinstance(CorpusSettings(executor="pool").make_executor(0, "cpu"), LocalExecutor)
    assert CorpusSettings(executor="pool", processes=4).make_executor(2, "cpu").processes == 2


def test_every_name_is_in_one_share_and_stays_there():
    shares = [CorpusShard.parse(f"{number}/16") for number in range(1, 17)]
    names = [f"night/{number}.wav" for number in range(2000)]
    counts = [sum(share.holds(name) for name in names) for share in shares]
    assert sum(counts) == 2000
    assert 80 < min(counts) <= max(counts) < 180
    assert [share.number for share in shares if share.holds("night/7.wav")] == [9]
    assert shares[2].folder == "shard-03-of-16"


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4"])
def test_a_share_that_does_not_exist_is_refused(text):
    with pytest.raises(AuricleError, match="such as 3/16"):
        CorpusSettings(shard=text)


def test_work_on_files_without_a_network_pays_in_a_pool_sooner(monkeypatch):
    made = []
    make_executor = CorpusSettings.make_executor
    monkeypatch.setattr(CorpusSettings, "make_executor", lambda *args: made.append(make_executor(*args)) or made[-1])
    for count in (POOL_PAYS_FILES - 1, POOL_PAYS_FILES):
        assert list(CorpusSettings(processes=2).map(abs, range(-count, 0), str)) == list(range(count, 0, -1))
    assert [type(executor) for executor in made] == [LocalExecutor, PoolExecutor]
