"""Print the completion of r1hf's commands and options for bash or zsh.

  eval "$(r1hf completion bash)"         in ~/.bashrc
  eval "$(r1hf completion zsh)"          in ~/.zshrc, after compinit

The script holds the words of the installed version; nothing of r1hf runs while you type. Exit status: 0.
"""

from __future__ import annotations

import argparse
import importlib

from r1hf.core.packaged import packaged

_SCRIPT = """\
_r1hf() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} words
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="{commands}"
  else
    case "${{COMP_WORDS[1]}}" in
{cases}
      *) words="" ;;
    esac
    case "${{COMP_WORDS[1]}}:$COMP_CWORD:${{COMP_WORDS[COMP_CWORD-1]}}" in
      recipe:2:*) words="{recipes}" ;;
      recipe:*:--config) words="{configurations}" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _r1hf r1hf
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh"))


def run(options: argparse.Namespace) -> int:
    if options.shell == "zsh":
        print("autoload -U +X bashcompinit && bashcompinit")
    print(script(), end="")
    return 0


def script() -> str:
    """A bash function with the words of every command."""
    from r1hf.commands.main import COMMANDS  # which names this module
    from r1hf.commands.run_recipe import folders

    cases = [f'      {name}) words="{" ".join(_options(module))}" ;;' for name, (module, _) in COMMANDS.items()]
    recipes = packaged("recipes")
    return _SCRIPT.format(
        commands=" ".join(COMMANDS),
        cases="\n".join(cases),
        recipes=" ".join(sorted(path.stem for path in recipes.glob("*.py"))),
        configurations=" ".join(folders(recipes)),
    )


def _options(module: str) -> list[str]:
    parser = argparse.ArgumentParser()
    importlib.import_module(module).add_arguments(parser)
    words = [word for action in parser._actions for word in action.option_strings if word.startswith("--")]
    return [*words, *(["--config", "--stage", "--list"] if module.endswith("run_recipe") else [])]
