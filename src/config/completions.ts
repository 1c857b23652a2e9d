/**
 * Completions for bash, zsh and fish, made from the table of options. They complete flags, the words of
 * options that allow only a few, and file names; free values such as addresses and times are not
 * completed. Both names of the program, `failover` and `flopsy`, complete alike. Pure: text in, text out.
 */
import { COMMAND_NAMES, commandOf, flagsOf } from "./commands.ts";
import { path, pathOrOff, pathOrStdout } from "./kinds.ts";
import { flagOf, type Key, KEYS, optionOf } from "./options.ts";

const NAMES = ["failover", "flopsy"];

type Completes = "switch" | "words" | "files" | "nothing";

function completes(key: Key): Completes {
  const { metavar } = optionOf(key).kind;
  if (metavar === "") return "switch";
  const { kind } = optionOf(key);
  if (kind === path || kind === pathOrOff || kind === pathOrStdout) return "files";
  return metavar.includes("|") ? "words" : "nothing";
}

/** The words of an option. What is in capitals stands for a value. */
function wordsOf(key: Key): string[] {
  return optionOf(key).kind.metavar.split("|").filter((word) => !/^[A-Z]/.test(word));
}

/** The long flag and, if it has one, its one-letter form. */
function spellings(key: Key): string[] {
  const { short } = optionOf(key);
  return short === undefined ? [flagOf(key)] : [flagOf(key), `-${short}`];
}

/** For bash 3.2 and later, with or without the bash-completion package. */
export function bashCompletion(): string {
  const kind = (wanted: Completes) => KEYS.filter((key) => completes(key) === wanted);
  const any = (keys: readonly Key[]) => keys.flatMap(spellings).join("|");
  return `# bash completion for ${NAMES.join(" and ")}
_failover() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]}
  # bash treats the = of --flag=value as a separate word.
  if [[ $cur == "=" ]]; then
    cur=
  elif [[ $prev == "=" ]]; then
    prev=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  COMPREPLY=()
  case \${COMP_WORDS[1]} in
${
    COMMAND_NAMES.map((name) => {
      const flags = Object.keys(flagsOf(name)).map((flag) => `--${flag}`).join(" ");
      return `    ${name}) [[ $COMP_CWORD -gt 1 ]] && { COMPREPLY=($(compgen -W "${flags}" -- "$cur")); return; } ;;`;
    }).join("\n")
  }
  esac
  case $prev in
${
    kind("words").map((key) =>
      `    ${spellings(key).join("|")}) COMPREPLY=($(compgen -W "${
        wordsOf(key).join(" ")
      }" -- "$cur")) ;;`
    ).join("\n")
  }
    ${any(kind("files"))})
      local IFS=$'\\n'
      compopt -o filenames 2>/dev/null
      COMPREPLY=($(compgen -f -- "$cur"))
      ;;
    ${any(kind("nothing"))}) ;;
    *)
      COMPREPLY=($(compgen -W "${KEYS.map(flagOf).join(" ")}" -- "$cur"))
      [[ $COMP_CWORD -eq 1 && $cur != -* ]] &&
        COMPREPLY+=($(compgen -W "${COMMAND_NAMES.join(" ")}" -- "$cur"))
      return 0
      ;;
  esac
}
complete -F _failover ${NAMES.join(" ")}
`;
}

/** For zsh: a file named `_failover` in a folder of `$fpath`. */
export function zshCompletion(): string {
  const specs = KEYS.flatMap((key) => {
    const { help, kind, short, kind: { isList } } = optionOf(key);
    const isSwitch = completes(key) === "switch";
    const actions = {
      switch: "",
      words: `:value:(${wordsOf(key).join(" ")})`,
      files: ":path:_files",
      nothing: `:${zshText(kind.metavar)}: `,
    };
    // A list option may be repeated; any other flag is offered once, whichever of its names was used.
    const repeat = isList ? "*" : `(${spellings(key).join(" ")})`;
    const tail = `[${zshText(help)}]${actions[completes(key)]}`;
    const long = `${flagOf(key)}${isSwitch ? "" : "="}`;
    const letter = short === undefined ? [] : [`-${short}${isSwitch ? "" : "+"}`];
    return [long, ...letter].map((flag) => `  ${quoted(`${repeat}${flag}${tail}`)}`);
  });
  const commands = COMMAND_NAMES.map((name) => {
    const flags = Object.entries(flagsOf(name)).map(([flag, { metavar, help }]) => {
      const value = metavar === "" ? "" : `:${metavar}:`;
      return quoted(`--${flag}${metavar === "" ? "" : "="}[${zshText(help)}]${value}`);
    });
    return `  ${name}) _arguments -S ${flags.join(" ")} '*: :'; return ;;`;
  });
  const names = COMMAND_NAMES.map((name) => `${name}\\:${quotedWord(commandOf(name).help)}`);
  return `#compdef ${NAMES.join(" ")}\n\ncase $words[2] in\n${commands.join("\n")}\nesac\n` +
    `_arguments -S \\\n${specs.join(" \\\n")} \\\n  ${
      quoted(`1::command:((${names.join(" ")}))`)
    }\n`;
}

/** Text inside the brackets and between the colons of a spec of `_arguments`. */
function zshText(text: string): string {
  return text.replace(/[\\[\]:]/g, "\\$&");
}

/** A word inside the double parentheses of a spec of `_arguments`. */
function quotedWord(text: string): string {
  return text.replace(/[^\w]/g, "\\$&");
}

/** For fish: a file in `~/.config/fish/completions`, once for each name. */
export function fishCompletion(): string {
  const lines = KEYS.map((key) => {
    const { help, short } = optionOf(key);
    const values = {
      switch: "-f",
      words: `-x -a ${quoted(wordsOf(key).join(" "))}`,
      files: "-r -F",
      nothing: "-x",
    };
    const letter = short === undefined ? "" : ` -s ${short}`;
    const long = ` -l ${flagOf(key).slice("--".length)}`;
    const description = help.replaceAll("\\", "\\\\").replaceAll("'", "\\'");
    return `  complete -c $name${letter}${long} ${values[completes(key)]} -d '${description}'`;
  });
  const isFirst = "__fish_use_subcommand";
  const commands = COMMAND_NAMES.flatMap((name) => {
    const seen = `__fish_seen_subcommand_from ${name}`;
    const flags = Object.entries(flagsOf(name)).map(([flag, { metavar, help }]) =>
      `  complete -c $name -n ${quoted(seen)} -l ${flag}${metavar === "" ? "" : " -x"} -d ${
        quoted(help)
      }`
    );
    const help = quoted(commandOf(name).help);
    return [`  complete -c $name -n ${isFirst} -a ${name} -d ${help}`, ...flags];
  });
  return `for name in ${NAMES.join(" ")}\n${
    ["  complete -c $name -f", ...lines, ...commands].join("\n")
  }\nend\n`;
}

/** Quotes text so that a POSIX shell reads it as one word. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
