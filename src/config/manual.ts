/** The manual page failover(1), made from the table of options, in portable man(7) macros. */
import { PROGRAM_VARIABLES } from "../base/program_variables.ts";
import { COMMAND_NAMES, commandOf, exitsOf, synopsisOf } from "./commands.ts";
import { notesOf, USAGE } from "./help.ts";
import { envOf, flagOf, type Key, KEYS, optionOf } from "./options.ts";

/** The page as roff source. */
export function manualPage(): string {
  const groups = Map.groupBy(KEYS, (key) => optionOf(key).group);
  return [
    `.TH FAILOVER 1 "" "failover" "User Commands"`,
    ".SH NAME",
    "failover, flopsy \\- sends traffic to the first upstream that is up",
    ".SH SYNOPSIS",
    ".nf",
    ...USAGE.map((line) => roff(line.replace(/^usage:/, "").trim())),
    ".fi",
    ".SH DESCRIPTION",
    ...paragraph(
      "Failover is a proxy that sends all traffic to one upstream, the active one. When that fails " +
        "it chooses the next, runs your scripts, and only then admits clients, which wait for a " +
        "moment instead of failing. It runs in TCP mode when hosts are given and in HTTP mode when a " +
        "primary is.",
    ),
    ...paragraph(
      "Each option is a flag, an environment variable and a key of the YAML file: --check-interval is " +
        "FAILOVER_CHECK_INTERVAL and check_interval. Flags win over the environment, the environment " +
        "over the file. Times are written 250ms, 2s, 1m30s; a bare number counts seconds.",
    ),
    ".SH COMMANDS",
    ...paragraph(
      "A command talks to a running proxy over its control socket, whose place --control or " +
        "FAILOVER_CONTROL says if it is not the default one.",
    ),
    ...COMMAND_NAMES.flatMap((name) => [
      ...term(synopsisOf(name), `${commandOf(name).help}.`),
      ...Object.entries(commandOf(name).flags).flatMap(([flag, { help }]) => [
        ".br",
        roff(`--${flag}: ${help}.`),
      ]),
      ".br",
      roff(
        `Exit status: ${
          Object.entries(exitsOf(name)).map(([code, meaning]) => `${code} ${meaning}`).join("; ")
        }.`,
      ),
    ]),
    ".SH OPTIONS",
    ...[...groups].flatMap(([group, keys]) => [`.SS ${roff(group)}`, ...keys.flatMap(entry)]),
    ".SH ENVIRONMENT",
    ...KEYS.flatMap((key) => {
      const names = [optionOf(key).env, envOf(key)].filter((name) => name !== undefined);
      return names.map((name) => [".TP", `.B ${roff(name)}`, `Like \\fB${roff(flagOf(key))}\\fR.`]);
    }).flat(),
    ".SH ENVIRONMENT OF CHECKS AND TRIGGERS",
    ...Object.entries(PROGRAM_VARIABLES).flatMap(([name, { check, trigger, help }]) => {
      const whose = check && trigger ? "Both" : check ? "Checks" : "Triggers";
      return term(name, `${whose}: ${help.replaceAll("`", "")}.`);
    }),
    ".SH SIGNALS",
    ...term("SIGTERM, SIGINT", "Stop accepting and let sessions end; a second one ends at once."),
    ...term("SIGUSR2", "Go back to the best upstream that is up."),
    ...term(
      "SIGHUP",
      "Read the config again and put it into force, as the command reload does, and open the access logs again.",
    ),
    ".SH EXIT STATUS",
    ...term("0", "It ended as requested."),
    ...term("1", "It could not listen, or a part of it failed."),
    ...term("2", "The options are wrong; each error is one line on stderr."),
    "",
  ].join("\n");
}

function entry(key: Key): string[] {
  const option = optionOf(key);
  const { help, kind, short } = option;
  const value = kind.metavar === "" ? "" : ` \\fI${roff(kind.metavar)}\\fR`;
  const letter = short === undefined ? "" : `\\fB${roff(`-${short}`)}\\fR, `;
  const notes = notesOf(option).map((note) => `; ${note}`).join("");
  return [".TP", `${letter}\\fB${roff(flagOf(key))}\\fR${value}`, roff(`${help}${notes}.`)];
}

function term(name: string, meaning: string): string[] {
  return [".TP", `.B ${roff(name)}`, roff(meaning)];
}

function paragraph(text: string): string[] {
  return [".PP", roff(text)];
}

/** Escapes text for roff, so that hyphens can be copied and no line is read as a request. */
function roff(text: string): string {
  const safe = text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("…", "...");
  return /^[.']/.test(safe) ? `\\&${safe}` : safe;
}
