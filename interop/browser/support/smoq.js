// The program under test, run as a person would run it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SMOQ = process.env.SMOQ_BIN
    ?? fileURLToPath(new URL('../../../target/debug/smoq', import.meta.url));

if (!existsSync(SMOQ)) {
    throw new Error(`there is no ${SMOQ}: \`cargo build -p smoq\` makes it, or set SMOQ_BIN`);
}

// The relay keeps its development certificate here, and the clients of these tests find it.
const data = mkdtempSync(join(tmpdir(), 'smoq-browser-'));
process.on('exit', () => rmSync(data, { recursive: true, force: true }));

/** A command that runs, until its test is over at the latest. */
export class Smoq {
    #child;
    #stdout = [];
    #stderr = '';
    #ended;

    /**
     * @param t the context of the test
     * @param args what follows the name of the program
     * @param input all of its standard input; `null` leaves that to `type`
     */
    constructor(t, args, input = new Uint8Array()) {
        const { RUST_LOG, ...env } = process.env;
        this.#child = spawn(SMOQ, args, { env: { ...env, XDG_DATA_HOME: data } });
        this.#child.stdout.on('data', chunk => this.#stdout.push(chunk));
        this.#child.stderr.setEncoding('utf8').on('data', text => { this.#stderr += text; });
        // A program that ends early does not read it, which its exit status tells.
        this.#child.stdin.on('error', () => {});
        if (input) this.#child.stdin.end(input);
        this.#ended = once(this.#child, 'close').then(([code, signal]) => code ?? signal);
        this.#ended.catch(() => {});
        t.after(async () => {
            this.#child.kill('SIGKILL');
            await this.#ended;
            if (!t.passed) console.error(`smoq ${args.join(' ')}:\n${this.#stderr}`);
        });
    }

    /** Waits for the first line of its standard output. */
    async line() {
        return (await this.lines(1))[0];
    }

    /** Waits for so many lines of its standard output; gives the first ones. */
    lines(count) {
        return this.#until(this.#child.stdout, `${count} lines of output`, () => {
            const lines = this.#printed();
            return lines.length < count ? undefined : lines.slice(0, count);
        });
    }

    /** Waits for a line of its standard output. */
    printed(pattern) {
        return this.#until(
            this.#child.stdout, `${pattern} in the output`, () => this.#printed().find(line => pattern.test(line)));
    }

    /** Writes to its standard input. */
    type(text) {
        this.#child.stdin.write(text);
    }

    /** Waits for a line of its log. */
    logged(pattern) {
        const complete = () => this.#stderr.split('\n').slice(0, -1);
        return this.#until(
            this.#child.stderr, `${pattern} in the log`, () => complete().find(line => pattern.test(line)));
    }

    /** What came out so far. */
    output() {
        return Buffer.concat(this.#stdout);
    }

    /** Fails if its log says that a peer did what it may not. */
    assertNothingWrong() {
        assert.doesNotMatch(this.#stderr, /broke a rule|ERROR/);
    }

    /** Waits for its end; gives back the exit status, or the name of the signal that ended it. */
    ended() {
        return this.#ended;
    }

    interrupt() {
        this.#child.kill('SIGINT');
    }

    #printed() {
        return this.output().toString().split('\n').slice(0, -1);
    }

    async #until(source, what, look) {
        const ended = this.#ended.then(() => true);
        for (let over = false; ;) {
            const found = look();
            if (found !== undefined) return found;
            if (over) throw new Error(`smoq has ended without ${what}`);
            over = await Promise.race([once(source, 'data').then(() => false), ended]);
        }
    }
}

/** A relay of its own for a test: the program, the URL for browsers, the SHA-256 of its certificate. */
export async function startRelay(t) {
    const program = new Smoq(t, ['relay', '--listen', '127.0.0.1:0']);
    const [url, hash] = (await program.line()).split(' ');
    return { program, url: url.replace(/^moqt:/, 'https:'), hash };
}
