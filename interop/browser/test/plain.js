// A page of nothing but JavaScript: what the browser's own API shows of the relay.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { browserForTests } from '../support/browser.js';
import { Smoq, startRelay } from '../support/smoq.js';

const openPage = browserForTests();
const timeout = 90_000;

test('a page reads a track and goes, and the relay sees nothing wrong', { timeout }, async t => {
    const relay = await startRelay(t);
    const payload = randomBytes(500_000);
    const publisher = new Smoq(t, ['publish', '--wait', relay.url, 'live/show'], payload);
    const page = await openPage(t);
    const seen = await page.evaluate(async ({ url, hash }) => {
        const { open, Session } = await import('/lite.js');
        const transport = open(`${url}/live`, hash);
        await transport.ready;
        const session = await Session.start(transport);
        const path = await session.announced('');
        const bytes = await session.read(path, 'data');
        transport.close({ closeCode: 0, reason: '' });
        return { protocol: transport.protocol, path, bytes, closed: await transport.closed };
    }, relay);
    assert.equal(seen.protocol, 'moq-lite-06');
    assert.equal(seen.path, 'show');
    assert.ok(payload.equals(seen.bytes), `what came differs, and has ${seen.bytes.length} bytes`);
    assert.deepEqual(seen.closed, { closeCode: 0, reason: '' });
    assert.equal(await publisher.ended(), 0);
    // Only the page's session is rooted there.
    const closed = await relay.program.logged(/ closed .*"\/live"/);
    assert.match(closed, / by="peer" code=no error \(0x0\) /);
    relay.program.assertNothingWrong();
});

test('a certificate that is not the pinned one is refused', { timeout }, async t => {
    const relay = await startRelay(t);
    const page = await openPage(t);
    const { right, wrong } = await page.evaluate(async ({ url, hash }) => {
        const { open } = await import('/lite.js');
        const outcome = hash => {
            const transport = open(url, hash);
            transport.closed.catch(() => {});
            return transport.ready.then(() => 'ready', error => error.name);
        };
        return { right: await outcome(hash), wrong: await outcome('00'.repeat(32)) };
    }, relay);
    assert.equal(right, 'ready');
    assert.equal(wrong, 'WebTransportError');
});

test('a track that nobody has: the page gets our code', { timeout }, async t => {
    const relay = await startRelay(t);
    new Smoq(t, ['publish', '--wait', relay.url, 'live/show'], randomBytes(1));
    const page = await openPage(t);
    const error = await page.evaluate(async ({ url, hash }) => {
        const { open, Session } = await import('/lite.js');
        const transport = open(url, hash);
        await transport.ready;
        const session = await Session.start(transport);
        const suffix = await session.announced('live');
        try {
            await session.read(`live/${suffix}`, 'none');
        } catch ({ name, source, streamErrorCode }) {
            return { name, source, streamErrorCode };
        }
    }, relay);
    const notFound = 0x33;
    assert.deepEqual(
        error, { name: 'WebTransportError', source: 'stream', streamErrorCode: notFound });
});

test('the relay goes: the page is told so', { timeout }, async t => {
    const relay = await startRelay(t);
    const page = await openPage(t);
    await page.evaluate(async ({ url, hash }) => {
        const { open, Session } = await import('/lite.js');
        window.transport = open(url, hash);
        await transport.ready;
        await Session.start(transport);
    }, relay);
    relay.program.interrupt();
    const closed = await page.evaluate(() => transport.closed);
    assert.deepEqual(closed, { closeCode: 0, reason: 'the relay shuts down' });
    assert.equal(await relay.program.ended(), 0);
});
