/*
 * The charts, drawn by uPlot.  Without it there are none, and the page says
 * so: the numbers do not need them.
 */

import { clock, compact } from '../pages/format.js';

const LIBRARY = './uplot/uPlot.esm.js';
const STYLE = './uplot/uPlot.min.css';
const HEIGHT = 180;
const SHORTEST = 60;            /* seconds that a chart shows at least */

const dark = matchMedia('(prefers-color-scheme: dark)');


/* undefined if there is no uPlot. */

export async function library() {
    try {
        const { default: uPlot } = await import(LIBRARY);
        const style = document.createElement('link');

        style.rel = 'stylesheet';
        style.href = STYLE;
        document.head.prepend(style);

        return uPlot;
    } catch {
        return undefined;
    }
}


/*
 * A chart in a place: series are { label, color, value }, color the name of a
 * property in the style sheet.  Returns what shows columns, time first; beside
 * the chart are the values under the pointer, else the last.
 */

export function chart(uPlot, place, series) {
    const plot = new uPlot({
        width: place.clientWidth || 300,
        height: HEIGHT,
        cursor: { y: false, drag: { x: false } },
        legend: { markers: {
            stroke: (_, i) => `var(${series[i - 1]?.color})`
        } },
        scales: {
            x: { range: span },
            y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] }
        },
        axes: [
            { ...axis(), space: 70, values: (_, times) => times.map(clock) },
            { ...axis(), size: 56, values: (_, values) =>
                values.map(compact) }
        ],
        series: [
            { label: 'Time', value: (_, time) => time ? clock(time) : '–' },
            ...series.map(line)
        ]
    }, series.map(() => []).concat([[]]), place);

    new ResizeObserver(() => {
        if (place.clientWidth) {
            plot.setSize({ width: place.clientWidth, height: HEIGHT });
        }
    }).observe(place);

    dark.addEventListener('change', () => plot.redraw(false));

    return (columns) => {
        plot.setData(columns);

        if (plot.cursor.idx == null) {
            plot.setLegend({ idx: columns[0].length - 1 });
        }
    };
}


function span({ data: [times] }) {
    const end = times.at(-1) ?? 0;

    return [Math.min(times[0] ?? end, end - SHORTEST), end];
}


/* Colours are asked for as they are at the time: light and dark change. */

function line({ label, color, value }) {
    return {
        label,
        width: 2,
        stroke: () => property(color),
        value: (_, number) => value(number)
    };
}


function axis() {
    return {
        stroke: () => property('--quiet'),
        grid: { stroke: () => property('--line'), width: 1 },
        ticks: { stroke: () => property('--line'), width: 1 },
        font: '12px system-ui, sans-serif'
    };
}


function property(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name);
}
