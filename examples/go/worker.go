// An OCR worker: claims jobs, reads their files, offers the results. Go and pgx 4; for
// pgx 5 change the import paths, and pgxpool.Connect to pgxpool.New.
//
//	worker [COMMAND [ARGUMENT…]]
//
// COMMAND reads a page as ../tesseract.sh does. The database is that of DATABASE_URL, or
// of PGHOST and the other PG* variables. SIGTERM gives back what is not finished.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"math/rand"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

const (
	batch     = 4 // jobs that are read at the same time
	pageLimit = 10 * time.Minute
)

var (
	leaseSeconds = setting("LEASE_SECONDS", 60)
	pollSeconds  = setting("POLL_SECONDS", 5)
	workerID     = fmt.Sprintf("go-%d", os.Getpid())
	passing      = regexp.MustCompile(`^(08|40|53|55P03|57)`)
)

func setting(name string, otherwise float64) float64 {
	if value, err := strconv.ParseFloat(os.Getenv(name), 64); err == nil {
		return value
	}
	return otherwise
}

func seconds(number float64) time.Duration {
	return time.Duration(number * float64(time.Second))
}

type job struct{ document, token, filename, path string }

type worker struct {
	pool    *pgxpool.Pool
	command []string
	// ends with SIGTERM
	stopping context.Context
	lock     sync.Mutex
	// the jobs in hand, and what says that their lease is lost
	live map[job]context.CancelFunc
}

// call calls a function; again and again while the database is away. Each time read gets
// the rows anew.
//
// A connection that is lost may have been lost after the COMMIT. Repeating is safe: under
// the same lease token a result that stands already is answered with true, and every
// other call changes nothing a second time. What a repeated claim does not know of goes
// back to the queue when its lease expires.
func (w *worker) call(read func(pgx.Rows) error, sql string, values ...interface{}) error {
	for attempt := 1; ; attempt++ {
		// A call that has begun is not broken off by a signal.
		rows, err := w.pool.Query(context.Background(), sql, values...)
		if err == nil {
			err = read(rows)
			rows.Close()
			if rows.Err() != nil {
				err = rows.Err()
			}
		}
		var said *pgconn.PgError
		if err == nil || w.stopping.Err() != nil ||
			errors.As(err, &said) && !passing.MatchString(said.Code) {
			return err
		}
		log.Printf("trying again: %v", err)
		if attempt > 6 {
			attempt = 6
		}
		time.Sleep(time.Duration(rand.Int63n(int64(100*time.Millisecond) << attempt)))
	}
}

// one reads an answer of one row and one column.
func one(answer interface{}) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		if rows.Next() {
			return rows.Scan(answer)
		}
		return rows.Err()
	}
}

type failure struct{ message, class string }

func (f failure) Error() string { return f.message }

// read reads one job's file and offers the result; whether that stands.
func (w *worker) read(ctx context.Context, j job) (bool, error) {
	// The bytes that are hashed are those that are read, whatever becomes of the file.
	page, err := os.ReadFile(j.path)
	if err != nil {
		return false, err
	}
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, pageLimit)
	defer cancel()
	command := exec.CommandContext(ctx, w.command[0], w.command[1:]...)
	command.Stdin = bytes.NewReader(page)
	output, err := command.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		said := strings.ToValidUTF8(string(exit.Stderr), "?")
		return false, fmt.Errorf("%v: %s", err, strings.TrimSpace(said))
	} else if err != nil {
		return false, failure{err.Error(), "infrastructure"}
	}
	first, text, found := strings.Cut(string(output), "\n")
	confidence, err := strconv.ParseFloat(first, 64)
	if !found || err != nil || !utf8.ValidString(text) {
		return false, errors.New("the OCR command did not answer as it should")
	}
	text = strings.TrimSuffix(text, "\n")
	hash := sha256.Sum256(page)
	var written bool
	err = w.call(one(&written),
		"select update_ocr_safe($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		j.document, j.filename, text, confidence, len(strings.Fields(text)),
		time.Since(started).Milliseconds(), j.token, hex.EncodeToString(hash[:]),
		filepath.Base(w.command[0]))
	return written, err
}

// work takes one job from its file to whatever becomes of it.
func (w *worker) work(j job, lost context.Context) error {
	ctx, cancel := context.WithCancel(lost)
	defer cancel()
	go func() {
		select {
		case <-w.stopping.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	written, err := w.read(ctx, j)
	message, class := "refused: ocr_incidents says why", "document"
	var failed failure
	if errors.As(err, &failed) {
		class = failed.class
	}
	if err != nil {
		message = strings.ReplaceAll(err.Error(), "\x00", `\0`)
	}
	var answer string
	switch {
	case written:
		answer = "written"
	case lost.Err() != nil:
		answer = "the lease was lost"
	case w.stopping.Err() != nil:
		var released bool
		err = w.call(one(&released), "select release_ocr_job($1, $2)", j.document, j.token)
		if err != nil {
			return err
		}
		answer = "released"
	default:
		// Where the lease is not ours any more this answers stale_lease and does nothing.
		err = w.call(one(&answer), "select fail_ocr_job($1, $2, $3, $4)",
			j.document, j.token, message, class)
		if err != nil {
			return err
		}
		answer += ": " + message
	}
	fmt.Printf("%s: %s\n", j.filename, answer)
	return nil
}

// beat extends all leases; a document that is missing from the answer is not ours.
func (w *worker) beat() error {
	var documents, tokens []string
	before := map[string]context.CancelFunc{}
	w.lock.Lock()
	for j, lose := range w.live {
		documents, tokens = append(documents, j.document), append(tokens, j.token)
		before[j.document] = lose
	}
	w.lock.Unlock()
	if len(before) == 0 {
		return nil
	}
	ours := map[string]bool{}
	err := w.call(func(rows pgx.Rows) error {
		for rows.Next() {
			var document string
			if err := rows.Scan(&document); err != nil {
				return err
			}
			ours[document] = true
		}
		return nil
	}, `select document_id from extend_ocr_leases($1, $2, make_interval(secs => $3))`,
		documents, tokens, leaseSeconds)
	if err != nil {
		return err
	}
	for document, lose := range before {
		if !ours[document] {
			lose()
		}
	}
	return nil
}

// listen rings when there is work, and whenever it listens anew: what came before that
// is not notified again. Behind a transaction pooler leave it out.
func (w *worker) listen(bell chan<- struct{}) {
	ring := func() {
		select {
		case bell <- struct{}{}:
		default: // it has rung already
		}
	}
	for w.stopping.Err() == nil {
		connection, err := pgx.Connect(w.stopping, os.Getenv("DATABASE_URL"))
		if err == nil {
			_, err = connection.Exec(w.stopping, "listen ocr_jobs")
			for err == nil {
				ring()
				_, err = connection.WaitForNotification(w.stopping)
			}
			connection.Close(context.Background())
		}
		select {
		case <-w.stopping.Done():
		case <-time.After(time.Second):
		}
	}
}

func (w *worker) claim() (jobs []job, err error) {
	err = w.call(func(rows pgx.Rows) error {
		jobs = nil
		for rows.Next() {
			var j job
			err := rows.Scan(&j.document, &j.token, &j.filename, &j.path)
			if err != nil {
				return err
			}
			jobs = append(jobs, j)
		}
		return nil
	}, `select document_id, lease_token, filename, coalesce(file_path, '')
		from claim_ocr_jobs($1, $2, make_interval(secs => $3))`,
		workerID, batch, leaseSeconds)
	return jobs, err
}

// workOn reads the jobs side by side.
func (w *worker) workOn(jobs []job) {
	var all sync.WaitGroup
	for _, j := range jobs {
		lost, lose := context.WithCancel(context.Background())
		w.lock.Lock()
		w.live[j] = lose
		w.lock.Unlock()
		all.Add(1)
		go func(j job) {
			defer all.Done()
			if err := w.work(j, lost); err != nil {
				log.Printf("%s: %v; its lease expires", j.filename, err)
			}
			w.lock.Lock()
			delete(w.live, j)
			w.lock.Unlock()
			lose()
		}(j)
	}
	all.Wait()
}

func main() {
	stopping, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	config, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	// So that an incident says who made the offer.
	config.ConnConfig.RuntimeParams["application_name"] = workerID
	config.MaxConns = batch + 1
	pool, err := pgxpool.ConnectConfig(context.Background(), config)
	if err != nil {
		log.Fatal(err)
	}
	command := os.Args[1:]
	if len(command) == 0 {
		command = []string{"examples/tesseract.sh"}
	}
	w := &worker{pool: pool, command: command, stopping: stopping,
		live: map[job]context.CancelFunc{}}

	go func() {
		for range time.Tick(seconds(leaseSeconds / 3)) {
			if err := w.beat(); err != nil {
				log.Print(err)
			}
		}
	}()
	bell := make(chan struct{}, 1)
	go w.listen(bell)
	for stopping.Err() == nil {
		jobs, err := w.claim()
		if err != nil && stopping.Err() == nil {
			log.Fatal(err)
		}
		if len(jobs) > 0 {
			w.workOn(jobs)
			continue
		}
		select {
		case <-bell:
		case <-stopping.Done():
		case <-time.After(seconds(pollSeconds)):
		}
	}
}
