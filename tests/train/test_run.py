"""Tests for detcon.train.run and detcon.train.environment."""

import json
import os

import pytest
import yaml

from detcon.config import Recipe
from detcon.notes import note
from detcon.results import RunError
from detcon.results.history import read_history
from detcon.results.recipe import recorded_fingerprint
from detcon.train import environment
from detcon.train.environment import Ranks, name_meeting_point, ranks
from detcon.train.metrics import MetricsLog
from detcon.train.recipe import Cosine, Lars, OptimizerRecipe, ScheduleRecipe, Sgd
from detcon.train.run import open_run


class Toy(Recipe):
    out: str = "runs/a"
    workers: int = 2
    steps: int = 10
    images: str = "photos/été"
    optimizer: OptimizerRecipe = Lars(lr=0.2)
    schedule: ScheduleRecipe = Cosine()


def test_a_new_run_is_complete(tmp_path):
    run = open_run(tmp_path / "a" / "b", Toy(), command="detcon pretrain x")
    assert not run.finished
    recipe = yaml.safe_load((run.folder / "recipe.yaml").read_text("utf-8"))
    assert Toy.model_validate(recipe) == Toy(), "every default is written out"
    environment = json.loads((run.folder / "environment.json").read_text())
    assert environment["command"] == "detcon pretrain x"
    assert environment["versions"]["torch"] and environment["versions"]["detcon"]
    assert environment["cpu"] and environment["python"] and environment["started"]
    assert environment["fingerprint"] == recorded_fingerprint(run.folder) != ""
    assert sorted(p.name for p in run.folder.iterdir()) == ["environment.json", "recipe.yaml"]


def test_free_settings_may_change(tmp_path):
    open_run(tmp_path, Toy())
    before = recorded_fingerprint(tmp_path)
    open_run(tmp_path, Toy(workers=8, out=str(tmp_path)))
    assert recorded_fingerprint(tmp_path) == before, "so that the checkpoint still fits"
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text("utf-8"))["workers"] == 8


def begin(folder):
    """A run that has made something."""
    open_run(folder, Toy())
    (folder / "metrics.jsonl").write_text('{"step": 1}\n')


def test_a_run_of_an_earlier_version_goes_on_where_the_new_settings_are_the_defaults(tmp_path):
    begin(tmp_path)
    path = tmp_path / "recipe.yaml"
    older = yaml.safe_load(path.read_text("utf-8"))
    del older["steps"], older["optimizer"]["momentum"]
    path.write_text(yaml.safe_dump(older))
    before = recorded_fingerprint(tmp_path)
    open_run(tmp_path, Toy())
    assert recorded_fingerprint(tmp_path) == before, "so that the checkpoint still fits"
    with pytest.raises(RunError, match=r"steps is 10 there and 20 now"):
        open_run(tmp_path, Toy(steps=20))


def test_a_setting_that_came_later_and_says_nothing_changes_no_fingerprint(tmp_path):
    class Later(Toy):
        discovery: dict[str, int] | None = None

    begin(tmp_path)
    before = recorded_fingerprint(tmp_path)
    open_run(tmp_path, Later())
    assert recorded_fingerprint(tmp_path) == before, "so that studies find what they made"
    with pytest.raises(RunError, match=r"discovery.every is not set there and 5 now"):
        open_run(tmp_path, Later(discovery={"every": 5}))


def test_another_recipe_is_told_by_its_settings(tmp_path):
    begin(tmp_path)
    before = (tmp_path / "recipe.yaml").read_bytes()
    with pytest.raises(
        RunError,
        match=r"holds a run of another recipe: steps is 10 there and 20 now, optimizer\.lr is 0\.2 "
        r"there and 0\.3 now; give another out=, the old settings, or remove ",
    ):
        open_run(tmp_path, Toy(steps=20, optimizer=Lars(lr=0.3)))
    with pytest.raises(RunError, match=r"optimizer\.nesterov is not set there and false now"):
        open_run(tmp_path, Toy(optimizer=Sgd(lr=0.2)))
    assert (tmp_path / "recipe.yaml").read_bytes() == before


def test_after_a_failure_before_the_first_step_the_advice_can_be_followed(tmp_path):
    open_run(tmp_path, Toy())
    open_run(tmp_path, Toy(steps=20))
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text("utf-8"))["steps"] == 20
    open_run(tmp_path, Toy(steps=20)).finish()
    with pytest.raises(RunError, match="steps is 20 there and 10 now"):
        open_run(tmp_path, Toy())


def test_a_run_that_made_no_step_is_begun_again(tmp_path):
    """What it logged at its start was of the old settings, and its time is no run's beginning."""
    left = ("metrics.jsonl", "unreadable.jsonl", "wandb-id.txt", "events.out.1")
    open_run(tmp_path, Toy())
    environment = json.loads((tmp_path / "environment.json").read_text())
    environment["started"] = "2020-01-01T00:00:00+00:00"
    (tmp_path / "environment.json").write_text(json.dumps(environment))
    for name in left:
        (tmp_path / name).write_text('{"step": 0, "probe": 1.0}\n')
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "nonfinite.ckpt").touch()
    assert open_run(tmp_path, Toy(steps=20)).began == ""
    assert not any((tmp_path / name).exists() for name in left)
    assert not any((tmp_path / "checkpoints").iterdir())
    assert not json.loads((tmp_path / "environment.json").read_text())["started"].startswith("2020")


@pytest.mark.parametrize("made", ["metrics.jsonl", "checkpoints/last.ckpt", "backbone.safetensors"])
def test_a_run_that_made_a_step_is_not(made, tmp_path):
    open_run(tmp_path, Toy())
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / made).write_text('{"step": 1}\n')
    with pytest.raises(RunError, match="holds a run of another recipe"):
        open_run(tmp_path, Toy(steps=20))


def test_a_finished_run_says_so_and_keeps_the_command_that_made_it(tmp_path):
    open_run(tmp_path, Toy(), command="detcon first").finish()
    made = json.loads((tmp_path / "environment.json").read_text())
    again = open_run(tmp_path, Toy(), command="detcon second")
    assert again.finished
    assert json.loads((tmp_path / "environment.json").read_text()) == made
    again.finish()  # something of it was made again
    remade = json.loads((tmp_path / "environment.json").read_text())
    assert (remade["command"], remade["started"]) == ("detcon second", made["started"])


def test_a_start_that_was_killed_is_no_obstacle(tmp_path):
    (tmp_path / ".recipe.yaml.host.1.partial").write_text("ste")
    open_run(tmp_path, Toy())


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(
        RunError, match=r"exists and holds no run \(no recipe\.yaml\); give another"
    ):
        open_run(tmp_path, Toy())
    with pytest.raises(RunError, match=r"thesis\.tex: it is a file"):
        open_run(tmp_path / "thesis.tex", Toy())


@pytest.mark.parametrize("text", ["a: [", "just words", "- 1"])
def test_a_recipe_that_cannot_be_read_says_so(tmp_path, text):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(RunError, match=r"cannot read .*recipe\.yaml"):
        open_run(tmp_path, Toy())


def torchrun(rank, world, here, local):
    return {"RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": here, "LOCAL_RANK": local}


def slurm(rank, world, machines, local):
    where = {"SLURM_NNODES": machines, "SLURM_LOCALID": local, "SLURM_JOB_ID": 1234567}
    return {"SLURM_PROCID": rank, "SLURM_NTASKS": world, **where}


def set_all(monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, Ranks()),
        (torchrun(5, 8, 4, 1), Ranks(5, 8, 4, 1)),
        (slurm(5, 8, 2, 1), Ranks(5, 8, 4, 1)),
        (slurm(0, 8, 2, 0) | {"SLURM_JOB_NAME": "interactive"}, Ranks()),
        (torchrun(1, 2, 2, 1) | slurm(0, 8, 2, 0), Ranks(1, 2, 2, 1)),
    ],
)
def test_ranks_come_from_the_environment(environment, found, monkeypatch):
    set_all(monkeypatch, environment)
    assert ranks() == found


@pytest.mark.parametrize(
    ("machines", "first"),
    [("gpu[07-09,12],login", "gpu07"), ("a1,a2", "a1"), ("gpu[3]", "gpu3"), ("gpu-3", "gpu-3")],
)
def test_ranks_of_slurm_meet_on_its_first_machine(machines, first, monkeypatch):
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # puts it back afterwards
        monkeypatch.delenv(name)
    set_all(monkeypatch, slurm(0, 8, 2, 0) | {"SLURM_JOB_NODELIST": machines})
    name_meeting_point()
    assert (os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]) == (first, "19567")
    monkeypatch.setenv("MASTER_ADDR", "elsewhere")
    name_meeting_point()
    assert os.environ["MASTER_ADDR"] == "elsewhere"


@pytest.mark.parametrize(
    ("workers", "cores", "asked", "one"),
    [(1, 2, None, True), (0, 2, None, False), (1, 2, "2", False), (1, 4, None, False)],
)
def test_torch_leaves_a_core_to_the_workers(workers, cores, asked, one, monkeypatch, capsys):
    monkeypatch.setenv("OMP_NUM_THREADS", asked or "")
    if asked is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    given = []
    monkeypatch.setattr(environment, "num_cores", lambda: cores)
    monkeypatch.setattr(environment.torch, "set_num_threads", given.append)
    note.cache_clear()
    environment.leave_a_core(workers)
    assert given == ([1] if one else [])
    assert ("OMP_NUM_THREADS=2 may be faster" in capsys.readouterr().err) is one


def test_other_ranks_write_nothing(tmp_path, monkeypatch):
    set_all(monkeypatch, torchrun(1, 2, 2, 1))
    run = open_run(tmp_path / "x", Toy())
    run.finish()
    log = MetricsLog(run.folder, step=0, write=False)
    log.write(1, {"loss": 1.0})
    log.close()
    assert not run.folder.exists()
    monkeypatch.setenv("RANK", "0")
    open_run(run.folder, Toy()).finish()
    monkeypatch.setenv("RANK", "1")
    assert open_run(run.folder, Toy()).finished, "or it would wait for the first for ever"


def test_the_log_keeps_only_what_the_checkpoint_knows(tmp_path):
    log = MetricsLog(tmp_path, step=0)
    for step in (1, 10, 20, 30):
        log.write(step, {"loss": step / 3})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')
    assert [line["step"] for line in read_history(tmp_path).rows] == [1, 10, 20, 30]
    MetricsLog(tmp_path, step=20).close()
    assert read_history(tmp_path).rows == [{"step": s, "loss": s / 3} for s in (1, 10, 20)]
