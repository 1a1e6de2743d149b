"""A throw-away Postgres server: real disk writes, TLS, its own folder and port, gone at the end."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

import machine

# Durability as in production. Checkpoints are asked for between measurements instead of falling into one of them, and the
# log goes round in files that are there already, as on a server that has run for a while; everything else is as Postgres
# comes.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "checkpoint_timeout": "1h",
    "max_wal_size": "6GB",
    "min_wal_size": "2GB",
    "ssl": "on",
}

START_LIMIT = 30


class Postgres:
    """Use as a context manager: the server runs inside."""

    def __init__(self, folder):
        self.folder = folder / "postgres"
        self.data = self.folder / "data"
        self.programs = machine.postgres_programs()
        self.port = machine.free_port()
        self.password = secrets.token_hex(16)
        # Postgres refuses to run as root, so then it runs as the user that its package brings.
        self.user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        self.server = None

    def __enter__(self):
        try:
            self.create()
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def create(self):
        self.folder.mkdir()
        password = self.folder / "password"
        password.write_text(self.password)
        self.make_certificate()
        if self.user:
            for path in [self.folder, *self.folder.iterdir()]:
                shutil.chown(path, "postgres", "postgres")
        owner = ["--username=postgres", "--auth=scram-sha-256", f"--pwfile={password}"]
        self.run("initdb", *owner, "--encoding=UTF8", "--locale=C.UTF-8", "-D", self.data, **self.user)

    def make_certificate(self):
        key, certificate = self.folder / "server.key", self.folder / "server.crt"
        subject = ["-subj", "/CN=localhost", "-days", "2"]
        kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl = ["openssl", "req", *kind, *subject, "-keyout", key, "-out", certificate]
        subprocess.run(openssl, check=True, capture_output=True)
        key.chmod(0o600)

    def start(self):
        settings = SETTINGS | {
            "port": self.port,
            "unix_socket_directories": self.folder,
            "ssl_cert_file": self.folder / "server.crt",
            "ssl_key_file": self.folder / "server.key",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [self.programs / "postgres", "-D", self.data, *options]
        # In a session of its own, so that Ctrl-C reaches only the benchmark, which then stops the server in order.
        with open(self.folder / "log", "wb") as log:
            self.server = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **self.user
            )
        self.wait_until_up()
        self.fill_log()

    def fill_log(self):
        """Writes as much log as is kept. To make a new file of it takes tens of milliseconds in which nothing is written."""
        self.ask("select count(pg_logical_emit_message(false, '', repeat(' ', 8000000))) from generate_series(1, 260)")
        self.settle()

    def wait_until_up(self):
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline and self.server.poll() is None:
            if self.ask("select 1", check=False) == "1":
                return
            time.sleep(0.1)
        raise RuntimeError("Postgres does not start:\n" + (self.folder / "log").read_text()[-2000:])

    def stop(self):
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGINT)
            try:
                self.server.wait(START_LIMIT)
            except subprocess.TimeoutExpired:
                self.server.send_signal(signal.SIGQUIT)
                self.server.wait(START_LIMIT)

    def run(self, program, *arguments, check=True, **options):
        """Runs one of Postgres' programs against the server; gives what it prints."""
        environment = {
            "PATH": os.environ["PATH"],
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": "postgres",
            "PGPASSWORD": self.password,
            "PGSSLMODE": "require",
        }
        command = [str(part) for part in (self.programs / program, *arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd="/", **options)
        if check and done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stderr[-2000:]}")
        return done.stdout.strip()

    def ask(self, sql, database="postgres", check=True):
        """Runs one statement; gives its result as text."""
        return self.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql, check=check)

    def run_file(self, database, file, **variables):
        """Runs a file of SQL with variables for psql."""
        settings = [part for name, value in variables.items() for part in ("-v", f"{name}={value}")]
        file = Path(__file__).with_name(file)
        self.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *settings, "-d", database, "-f", file)

    def create_database(self, name):
        """An empty database."""
        self.ask(f"create database {name}")

    def copy_database(self, name, copy):
        """A fresh copy of a database, with all that is in it and what Postgres knows of it."""
        self.ask(f"drop database if exists {copy} with (force)")
        self.ask(f"create database {copy} template {name} strategy file_copy")

    def settle(self):
        """Writes out what earlier work left behind, so that the next measurement does not pay for it."""
        self.ask("checkpoint")

    def url(self, database):
        """Where the service finds a database. Nothing is said of TLS: the service asks for it by itself."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def count(self, table, database):
        """How many rows a table has."""
        return int(self.ask(f"select count(*) from {table}", database))

    def commits(self, database):
        """How many transactions were committed in a database so far."""
        return int(self.ask(f"select xact_commit from pg_stat_database where datname = '{database}'"))
