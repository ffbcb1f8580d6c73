// @moq/net in a page, which speaks moq-lite-05.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { browserForTests } from '../support/browser.js';
import { Smoq, startRelay } from '../support/smoq.js';

const openPage = browserForTests();
const timeout = 90_000;
const payload = randomBytes(500_000);

/** A page that publishes until the end of the test. */
async function publish(t, { url, hash }) {
    const page = await openPage(t);
    const spoken = await page.evaluate(async ({ url, hash, payload }) => {
        const { connect, publish } = await import('/net.js');
        const connection = await connect(url, hash);
        publish(connection, 'live/show', Uint8Array.from(atob(payload), char => char.charCodeAt()));
        const { version, transport } = connection;
        return { version, transport };
    }, { url, hash, payload: payload.toString('base64') });
    assert.deepEqual(spoken, { version: 'moq-lite-05', transport: 'webtransport' });
}

/** What a page reads. */
async function read(t, { url, hash }) {
    const page = await openPage(t);
    const bytes = await page.evaluate(async ({ url, hash }) => {
        const { connect, read } = await import('/net.js');
        const connection = await connect(url, hash);
        const bytes = await read(connection, 'live', 'data');
        connection.close();
        await connection.closed;
        return bytes;
    }, { url, hash });
    return Buffer.from(bytes);
}

test('from a page to `smoq subscribe`', { timeout }, async t => {
    const relay = await startRelay(t);
    await publish(t, relay);
    const subscriber = new Smoq(t, ['subscribe', '--all', relay.url, 'live/show']);
    assert.equal(await subscriber.ended(), 0);
    assert.ok(payload.equals(subscriber.output()));
    relay.program.assertNothingWrong();
});

test('from `smoq publish` to a page', { timeout }, async t => {
    const relay = await startRelay(t);
    const publisher = new Smoq(t, ['publish', '--wait', relay.url, 'live/show'], payload);
    assert.ok(payload.equals(await read(t, relay)));
    assert.equal(await publisher.ended(), 0);
    relay.program.assertNothingWrong();
});

test('from page to page', { timeout }, async t => {
    const relay = await startRelay(t);
    await publish(t, relay);
    assert.ok(payload.equals(await read(t, relay)));
    relay.program.assertNothingWrong();
});
