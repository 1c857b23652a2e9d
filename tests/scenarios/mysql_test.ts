/** MariaDB with a replica, and `failover` in front with `--check mysql` and the script of the documentation. */
import { assertEquals } from "@std/assert";
import { runCommand } from "../harness/command.ts";
import { Control } from "../harness/control.ts";
import { Folder } from "../harness/folder.ts";
import { MariaDb, MARIADB_NEEDS } from "../harness/mariadb.ts";
import { startProxy } from "../harness/proxy.ts";
import { copyScripts } from "../harness/readme.ts";
import { scenario } from "../harness/scenario.ts";
import { untilTrue } from "../harness/test_deadline.ts";

/** Runs SQL through the proxy; resolves with the lines of the result. */
async function sql(folder: Folder, address: string, text: string): Promise<string[]> {
  const [host, port] = address.split(":");
  const { success, stdout, stderr } = await new Deno.Command("mariadb", {
    args: [`--defaults-file=${folder.at(".my.cnf")}`, "-h", host!, "-P", port!, "-Ne", text],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim().split("\n");
}

scenario(
  "a killed MariaDB: its replica is promoted by the script with all that it had received, and the old primary is refused",
  async (relay) => {
    await using folder = await Folder.make();
    await Deno.chmod(folder.path, 0o777);
    await using control = await Control.make();
    await copyScripts(folder.path, "mysql_promote.sh");
    await folder.write(".my.cnf", "[client]\nuser=app\npassword=pw\n");
    const password = await folder.write("password", "secret\n");
    await using primary = await MariaDb.make(folder.at("one"));
    await using replica = await MariaDb.make(folder.at("two"), { settings: ["read_only=1"] });
    await primary.sql(
      "create user failover@'%' identified by 'secret'; " +
        "grant replica monitor on *.* to failover@'%'; " +
        "create user app@'%' identified by 'pw'; grant all on *.* to app@'%'; " +
        "create user repl@'%' identified by 'r'; grant replication slave on *.* to repl@'%'; " +
        "create database d; create table d.notes (note varchar(100))",
    );
    await replica.sql(
      `change master to master_host='127.0.0.1', master_port=${primary.port}, ` +
        "master_user='repl', master_password='r', master_use_gtid=slave_pos; start slave",
    );
    await using proxy = await startProxy({
      upstreams: [replica, primary],
      flags: {
        ...relay,
        "check": "mysql",
        "check-user": "failover",
        "check-password-file": password,
        // The servers say in their logs which connections are given up.
        "check-timeout": "20s",
        "on-failover": folder.at("mysql_promote.sh"),
        "control": control.path,
      },
      env: { HOME: folder.path },
    });
    await proxy.event("promotion.finished", { move: "start", to: primary.name });
    await proxy.event("server.roleChanged", { upstream: replica.name, role: "standby" });
    const drill = await runCommand(["drill", "--run-triggers", "--control", control.path]);
    assertEquals(drill.code, 0, drill.out + drill.err);
    await sql(folder, proxy.address, "insert into d.notes values ('before')");
    await replica.sql(
      `select master_gtid_wait('${(await primary.sql("select @@gtid_binlog_pos"))[0]}', 30)`,
    );
    // Received, and not executed yet.
    await replica.sql("stop slave sql_thread");
    await sql(folder, proxy.address, "insert into d.notes values ('received')");
    const written = (await primary.sql("select @@gtid_binlog_pos"))[0]!;
    const received = async () => (await replica.sql("show slave status")).join().includes(written);
    await untilTrue("the replica to receive it", received, proxy.lastLines);
    await replica.sql("start slave sql_thread");

    await primary.kill();
    await proxy.event("promotion.finished", { move: "failover", to: replica.name });
    await proxy.event("server.roleChanged", { upstream: replica.name, role: "primary" });
    await sql(folder, proxy.address, "insert into d.notes values ('after')");
    assertEquals(await replica.sql("select note from d.notes"), ["before", "received", "after"]);

    await primary.start();
    await proxy.event("upstream.barred", { upstream: primary.name, kind: "stale" });
    // A session of the check that has logged in is given up if the server is late to tell its lag.
    const said = [...primary.log, ...replica.log].filter((line) =>
      /Access denied|Aborted connection \d+ to db: 'unconnected' user: 'unauthenticated'/.test(line)
    );
    assertEquals(said, []);
  },
  [...MARIADB_NEEDS, "mariadb"],
);
