"""Verbs, recipes, settings and values are completed, in each shell as it asks for them."""

import subprocess
import sys
from shutil import which

import pytest

from detcon.cli import main
from detcon.cli.completion import complete
from detcon.cli.verbs import VERBS


@pytest.mark.parametrize(
    "words, found",
    [
        (["pretr"], ["pretrain "]),
        (["pretrain", "detcon_s_s"], ["detcon_s_small "]),
        (["pretrain", "small"], []),
        (["pretrain", "--h"], ["--help "]),
        (["study", "--pl"], ["--plan "]),
        (["transfer", "folder_fcn", "task=dep"], ["task=depth "]),
        (["transfer", "task.head_"], ["task.head_channels="]),
        (["pretrain", "loop.compile="], ["loop.compile=true ", "loop.compile=false "]),
        (["masks", "generator.kind=fel"], ["generator.kind=felzenszwalb "]),
        (["masks", "images="], []),
        (["masks", "nothing.of.it="], []),
        (["nonsense", ""], []),
        (["completion", "z"], ["zsh "]),
    ],
)
def test_the_last_word(words, found):
    assert complete(words) == found


def test_without_words_there_are_all_verbs():
    assert complete([]) == complete([""]) == [f"{verb} " for verb in (*VERBS, "completion")]


def test_bash_takes_words_apart_at_each_equals_sign():
    script = f"""
        detcon() {{ {sys.executable} -m detcon "$@"; }}
        eval "$(detcon completion bash)"
        COMP_LINE="detcon transfer task=kn"; COMP_POINT=${{#COMP_LINE}}; _detcon
        printf '<%s>' "${{COMPREPLY[@]}}"
    """
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert run.stdout == "<knn_segmentation ><knn_classification >", run.stderr


@pytest.mark.skipif(not which("zsh"), reason="zsh isn't here")
def test_zsh_asks_with_the_words_so_far_and_takes_paths_behind_a_setting():
    script = f"""
        detcon() {{ {sys.executable} -m detcon "$@"; }}
        compdef() {{ }}
        compadd() {{ print -r -- "<${{found[*]}}>"; }}
        compset() {{ print -r -- "$*"; }}
        _files() {{ print files; }}
        eval "$(detcon completion zsh)"
        words=(detcon pretrain im) CURRENT=3; _detcon
        words=(detcon pretrain images=a) CURRENT=3; _detcon
    """
    run = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True)
    assert run.stdout == "<images=>\n-P *=\nfiles\n", run.stderr


@pytest.mark.skipif(not which("fish"), reason="fish isn't here")
def test_fish_gets_words_without_the_space_that_it_sets_itself():
    script = f"""
        function detcon; {sys.executable} -m detcon $argv; end
        detcon completion fish | source
        complete -C 'detcon pretr'
    """
    run = subprocess.run(["fish", "-N", "-c", script], capture_output=True, text=True)
    assert run.stdout == "pretrain\n", run.stderr


def test_a_shell_must_be_named(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["detcon", "completion"])
    with pytest.raises(SystemExit):
        main()
    assert "name your shell: detcon completion bash|zsh|fish" in capsys.readouterr().err
