// An OCR worker: claims jobs, reads their files, offers the results. Java 17, JDBC.
//
//   java -cp postgresql.jar Worker.java [COMMAND [ARGUMENT…]]
//
// COMMAND reads a page as ../tesseract.sh does. The database is that of JDBC_URL, or of
// PGHOST and the other PG* variables. SIGTERM gives back what is not finished. The JVM
// opens files with names beyond ASCII in a UTF-8 locale only.

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.postgresql.PGConnection;

public class Worker {
    static final int BATCH = 4;
    static final double LEASE_SECONDS = Double.parseDouble(setting("LEASE_SECONDS", "60"));
    static final double POLL_SECONDS = Double.parseDouble(setting("POLL_SECONDS", "5"));
    static final long PAGE_SECONDS = 600;
    static final String WORKER_ID = "java-" + ProcessHandle.current().pid();

    static volatile boolean stopping = false;

    record Job(UUID document, UUID token, String filename, String path) {}

    /** The jobs in hand by document, and the process that reads the one at work. */
    static final Map<UUID, Job> live = new ConcurrentHashMap<>();
    static final Map<UUID, Process> reading = new ConcurrentHashMap<>();

    static String setting(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }

    /** One connection, opened again whenever it is lost. Not for two threads. */
    static class Database {
        private Connection connection;

        Connection open() throws SQLException {
            if (connection == null) {
                String url = "jdbc:postgresql://" + setting("PGHOST", "localhost") + ":"
                        + setting("PGPORT", "5432") + "/" + setting("PGDATABASE", "postgres");
                Properties properties = new Properties();
                properties.setProperty("user", setting("PGUSER", "postgres"));
                properties.setProperty("password", setting("PGPASSWORD", ""));
                properties.setProperty("ApplicationName", WORKER_ID);
                connection = DriverManager.getConnection(setting("JDBC_URL", url), properties);
                try (Statement statement = connection.createStatement()) {
                    statement.execute("listen ocr_jobs"); // not behind a pooler
                }
            }
            return connection;
        }

        void close() {
            try {
                if (connection != null) connection.close();
            } catch (SQLException ignored) {
                // it was lost
            }
            connection = null;
        }

        /**
         * Calls a function; again and again while the database is away.
         *
         * A connection that is lost may have been lost after the COMMIT. Repeating is
         * safe: under the same lease token a result that stands already is answered with
         * true, and every other call changes nothing a second time. What a repeated claim
         * does not know of goes back to the queue when its lease expires.
         */
        List<Object[]> call(String sql, Object... values)
                throws SQLException, InterruptedException {
            for (int attempt = 1; ; attempt++) {
                try (PreparedStatement statement = open().prepareStatement(sql)) {
                    for (int i = 0; i < values.length; i++) {
                        Object value = values[i] instanceof UUID[] ids
                                ? connection.createArrayOf("uuid", ids)
                                : values[i];
                        statement.setObject(i + 1, value);
                    }
                    List<Object[]> rows = new ArrayList<>();
                    try (ResultSet answer = statement.executeQuery()) {
                        int columns = answer.getMetaData().getColumnCount();
                        while (answer.next()) {
                            Object[] row = new Object[columns];
                            for (int i = 0; i < columns; i++) row[i] = answer.getObject(i + 1);
                            rows.add(row);
                        }
                    }
                    return rows;
                } catch (SQLException error) {
                    String state = String.valueOf(error.getSQLState());
                    if (!state.matches("(08|40|53|55P03|57).*") || stopping) throw error;
                    System.err.println("trying again: " + error.getMessage());
                    close();
                    long most = Math.min(5000, 100L << Math.min(attempt, 10));
                    Thread.sleep(ThreadLocalRandom.current().nextLong(most));
                }
            }
        }

        /** Waits for a notification, or for so long: notifications can be lost. */
        void await(double seconds) {
            long end = System.nanoTime() + (long) (seconds * 1e9);
            try {
                PGConnection listening = open().unwrap(PGConnection.class);
                while (!stopping && System.nanoTime() < end) {
                    if (listening.getNotifications(200).length > 0) return;
                }
            } catch (SQLException error) {
                close();
            }
        }
    }

    /** What the OCR command read, or why it could not. */
    static class Failure extends Exception {
        final String errorClass;

        Failure(String message, String errorClass) {
            super(message);
            this.errorClass = errorClass;
        }
    }

    /** Reads one job's file and offers the result; its failures are the caller's. */
    static boolean read(Database database, Job job, List<String> command) throws Exception {
        File page = File.createTempFile("page", null);
        File output = File.createTempFile("output", null);
        File errors = File.createTempFile("errors", null);
        try {
            // The bytes that are hashed are those that are read, whatever becomes of
            // the file.
            byte[] bytes = Files.readAllBytes(Path.of(job.path));
            Files.write(page.toPath(), bytes);
            String hash = HexFormat.of()
                    .formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
            long started = System.nanoTime();
            Process process;
            try {
                process = new ProcessBuilder(command).redirectInput(page)
                        .redirectOutput(output).redirectError(errors).start();
            } catch (java.io.IOException error) {
                throw new Failure(error.getMessage(), "infrastructure");
            }
            reading.put(job.document, process);
            if (stopping || !live.containsKey(job.document)) process.destroy();
            boolean ended = process.waitFor(PAGE_SECONDS, TimeUnit.SECONDS);
            process.destroyForcibly();
            int code = process.waitFor();
            reading.remove(job.document);
            if (!ended || code != 0) {
                String said = new String(
                        Files.readAllBytes(errors.toPath()), StandardCharsets.UTF_8);
                throw new Failure("exit code " + code + ": " + said.strip(), "document");
            }
            // Throws where it is not UTF-8.
            String[] parts = StandardCharsets.UTF_8.newDecoder()
                    .decode(ByteBuffer.wrap(Files.readAllBytes(output.toPath())))
                    .toString().split("\n", 2);
            String text = parts[1].endsWith("\n")
                    ? parts[1].substring(0, parts[1].length() - 1)
                    : parts[1];
            return (boolean) database.call(
                    "select update_ocr_safe(?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    job.document, job.filename, text, Double.valueOf(parts[0]),
                    (int) text.lines().flatMap(line -> List.of(line.split("\\s+")).stream())
                            .filter(word -> !word.isEmpty()).count(),
                    (int) ((System.nanoTime() - started) / 1_000_000),
                    job.token, hash, new File(command.get(0)).getName()).get(0)[0];
        } finally {
            for (File file : List.of(page, output, errors)) file.delete();
        }
    }

    /** One job from its file to whatever becomes of it. */
    static void work(Database database, Job job, List<String> command) throws Exception {
        String message = "refused: ocr_incidents says why";
        String errorClass = "document";
        try {
            if (read(database, job, command)) {
                System.out.println(job.filename + ": written");
                return;
            }
        } catch (Exception error) {
            message = String.valueOf(error.getMessage()).replace("\0", "\\0");
            if (error instanceof Failure failure) errorClass = failure.errorClass;
        }
        if (!live.containsKey(job.document)) {
            lost(job);
        } else if (stopping) {
            release(database, job);
        } else {
            // Where the lease is not ours any more this answers stale_lease and does
            // nothing.
            Object answer = database.call("select fail_ocr_job(?, ?, ?, ?)",
                    job.document, job.token, message.isBlank() ? "unknown" : message,
                    errorClass).get(0)[0];
            System.out.println(job.filename + ": " + answer + ": " + message);
        }
    }

    static void lost(Job job) {
        System.out.println(job.filename + ": the lease was lost");
    }

    static void release(Database database, Job job) throws Exception {
        database.call("select release_ocr_job(?, ?)", job.document, job.token);
        System.out.println(job.filename + ": released");
    }

    /** Extends all leases; a document that is missing from the answer is not ours. */
    static void beat(Database database) throws Exception {
        List<Job> before = List.copyOf(live.values());
        if (before.isEmpty()) return;
        Set<Object> ours = new HashSet<>();
        for (Object[] row : database.call(
                "select document_id from extend_ocr_leases(?, ?, make_interval(secs => ?))",
                before.stream().map(Job::document).toArray(UUID[]::new),
                before.stream().map(Job::token).toArray(UUID[]::new),
                LEASE_SECONDS)) {
            ours.add(row[0]);
        }
        for (Job job : before) {
            if (!ours.contains(job.document) && live.remove(job.document, job)) {
                Process process = reading.get(job.document);
                if (process != null) process.destroy();
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        List<String> command = arguments.length > 0
                ? List.of(arguments)
                : List.of(setting("OCR_COMMAND", "examples/tesseract.sh"));
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopping = true;
            reading.values().forEach(Process::destroy);
            try {
                main.join();
            } catch (InterruptedException ignored) {
                // leases that are not given back expire
            }
        }));
        Thread heart = new Thread(() -> {
            Database database = new Database();
            while (true) {
                try {
                    Thread.sleep((long) (LEASE_SECONDS * 333));
                    beat(database);
                } catch (Exception error) {
                    System.err.println(error);
                }
            }
        });
        heart.setDaemon(true);
        heart.start();

        Database database = new Database();
        while (!stopping) {
            List<Object[]> rows;
            try {
                rows = database.call(
                        "select document_id, lease_token, filename, file_path"
                                + " from claim_ocr_jobs(?, ?, make_interval(secs => ?))",
                        WORKER_ID, BATCH, LEASE_SECONDS);
            } catch (SQLException error) {
                if (stopping) break;
                throw error;
            }
            List<Job> jobs = new ArrayList<>();
            for (Object[] row : rows) {
                jobs.add(new Job(
                        (UUID) row[0], (UUID) row[1], (String) row[2], (String) row[3]));
            }
            for (Job job : jobs) live.put(job.document, job);
            for (Job job : jobs) {
                if (stopping) release(database, job);
                else if (!live.containsKey(job.document)) lost(job);
                else work(database, job, command);
                live.remove(job.document);
            }
            if (jobs.isEmpty()) database.await(POLL_SECONDS);
        }
        database.close();
    }
}
