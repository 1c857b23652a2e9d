import { choice, flag, path } from "../kinds.ts";
import { rows } from "../rows.ts";

const commands = rows({ group: "Commands", scope: "command", mode: "both" });

/** What concerns one start only. */
export const COMMAND_OPTIONS = {
  config: commands(path, "YAML file with options", { env: "FAILOVER_CONFIG" }),
  checkConfig: commands(flag, "Say whether the options are good, and end"),
  printConfig: commands(flag, "Print every option with its origin, and end"),
  generate: commands(
    choice("bash", "zsh", "fish", "man", "tcp-sample", "http-sample", "schema"),
    "Print completions for a shell, the manual page, a sample file or its JSON schema, and end",
  ),
  help: commands(flag, "Print this text, and end", { short: "h" }),
  version: commands(flag, "Print the version, and end", { short: "V" }),
};
