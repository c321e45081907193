/*
 * faint(), to run in a page: the texts whose contrast, of the colours as they
 * are computed, is below the 4.5 of WCAG AA.
 */

'use strict';

function faint() {
    const rgb = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);

    const luminance = (color) => [0.2126, 0.7152, 0.0722]
        .map((share, i) => {
            const c = color[i] / 255;
            return share * (c <= 0.04045 ? c / 12.92
                : ((c + 0.055) / 1.055) ** 2.4);
        })
        .reduce((sum, part) => sum + part);

    const background = (node) => {
        const color = rgb(getComputedStyle(node).backgroundColor);
        return color[3] === 0 ? background(node.parentElement) : color;
    };

    const contrast = (node) => {
        const [low, high] = [rgb(getComputedStyle(node).color),
            background(node)].map(luminance).sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };

    return [...document.body.querySelectorAll('*')]
        .filter((node) => node.checkVisibility() && !node.disabled
            && [...node.childNodes].some((child) =>
                child.nodeType === Node.TEXT_NODE && child.data.trim()))
        .map((node) => [node.tagName, node.id, contrast(node)])
        .filter(([, , ratio]) => !(ratio >= 4.5));
}


module.exports = { faint };
