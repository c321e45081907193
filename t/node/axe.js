/*
 * What axe-core finds wrong in a page as it is now: ["rule: the nodes"].
 */

'use strict';

const { source } = require('axe-core');


async function faults(page) {
    await page.evaluate(source);

    const { violations } = await page.evaluate(() => globalThis.axe.run());

    return violations.map(({ id, nodes }) =>
        `${id}: ${nodes.map(({ target }) => target).join(', ')}`);
}


module.exports = { faults };
