// @moq/net in a page, in every version that it has and we have too.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { browserForTests } from '../support/browser.js';
import { Smoq, startRelay } from '../support/smoq.js';

const openPage = browserForTests();
const timeout = 90_000;
const payload = randomBytes(500_000);

/** A page that publishes until the end of the test. */
async function publish(t, { url, hash }, version) {
    const page = await openPage(t);
    const spoken = await page.evaluate(async ({ payload, ...relay }) => {
        const { connect, publish } = await import('/net.js');
        const connection = await connect(relay);
        publish(connection, 'live/show', Uint8Array.from(atob(payload), char => char.charCodeAt()));
        return { version: connection.version, transport: connection.transport };
    }, { url, hash, version, payload: payload.toString('base64') });
    assert.deepEqual(spoken, { version, transport: 'webtransport' });
}

/** What a page reads. */
async function read(t, { url, hash }, version) {
    const page = await openPage(t);
    const bytes = await page.evaluate(async relay => {
        const { connect, read } = await import('/net.js');
        const connection = await connect(relay);
        const bytes = await read(connection, 'live', 'data');
        connection.close();
        await connection.closed;
        return bytes;
    }, { url, hash, version });
    return Buffer.from(bytes);
}

for (const version of ['moq-lite-05', 'moq-lite-04', 'moq-lite-03']) {
    test(`${version} from a page to \`smoq subscribe\``, { timeout }, async t => {
        const relay = await startRelay(t);
        await publish(t, relay, version);
        const subscriber = new Smoq(t, ['subscribe', '--all', relay.url, 'live/show']);
        assert.equal(await subscriber.ended(), 0);
        assert.ok(payload.equals(subscriber.output()));
        relay.program.assertNothingWrong();
    });

    test(`${version} from \`smoq publish\` to a page`, { timeout }, async t => {
        const relay = await startRelay(t);
        const publisher = new Smoq(t, ['publish', '--wait', relay.url, 'live/show'], payload);
        assert.ok(payload.equals(await read(t, relay, version)));
        assert.equal(await publisher.ended(), 0);
        relay.program.assertNothingWrong();
    });

    test(`${version} from page to page`, { timeout }, async t => {
        const relay = await startRelay(t);
        await publish(t, relay, version);
        assert.ok(payload.equals(await read(t, relay, version)));
        relay.program.assertNothingWrong();
    });
}

test('a page that knows no certificate asks for it over HTTP', { timeout }, async t => {
    const { url } = await startRelay(t);
    const relay = { url: url.replace(/^https:/, 'http:'), version: 'moq-lite-05' };
    const page = await openPage(t);
    const transport = await page.evaluate(async relay => {
        const { connect } = await import('/net.js');
        return (await connect(relay)).transport;
    }, relay);
    assert.equal(transport, 'webtransport');
});
