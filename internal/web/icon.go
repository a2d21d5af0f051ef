package web

import "html/template"

// icons has the paths of all icons, on a square of 16. A state has a shape of its own besides its colour.
var icons = map[string]string{
	"overview": "M3 9h2.5v4H3zM6.75 3h2.5v10h-2.5zM10.500 6.500H13V13h-2.500z", "inbox": "M2.500 9 4 3.500h8L13.500 9v3.500h-11zM2.500 9h3l1 2h3l1-2h3",
	"runs": "M2.500 4h11M2.500 8h11M2.500 12h7", "search": "M10.500 10.500 14 14M12 7A5 5 0 1 1 2 7a5 5 0 0 1 10 0", "theme": "M8 2a6 6 0 1 0 0 12zM8 2a6 6 0 0 1 0 12",
	"help": "M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0M6.300 6.300c.2-2 3.500-2 3.500.1 0 1.300-1.800 1.400-1.800 2.600M8 11.200v.1", "out": "M6.500 3H3v10h3.500M7 8h6.500M11 5.500 13.500 8 11 10.500",
	"columns": "M2.500 3h11v10h-11zM6.200 3v10M9.800 3v10", "plus": "M8 3v10M3 8h10", "minus": "M3 8h10", "fit": "M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3", "close": "M4 4l8 8M12 4l-8 8",
	"running": "M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0M6.700 5.500 10.500 8l-3.800 2.500z", "waiting": "M4.500 2.500h7M4.500 13.500h7M5 2.500c0 3.500 6 4 6 5.500s-6 2-6 5.500M11 2.500c0 3.500-6 4-6 5.500s6 2 6 5.500",
	"completed": "M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0M5.500 8.200 7.300 10l3.300-3.700", "failed": "M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0M6 6l4 4M10 6l-4 4",
	"unresolved": "M8 1.800 14.200 8 8 14.200 1.800 8zM8 5.200v3.300M8 10.700v.1", "paused": "M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0M6.500 6v4M9.500 6v4",
	"pending": "M8 2a6 6 0 0 1 4.200 1.800M14 8a6 6 0 0 1-1.800 4.200M8 14a6 6 0 0 1-4.200-1.800M2 8a6 6 0 0 1 1.800-4.200", "cancelled": "M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0M4 12l8-8",
	"modules": "M8 1.800 13.500 5v6L8 14.200 2.500 11V5zM2.500 5 8 8.200 13.500 5M8 8.200v6", "schedules": "M8 4.500V8l2.500 1.500M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0",
	"limits": "M2.500 11.500a6 6 0 1 1 11 0M8 9.500l2.500-3.500", "state": "M3 4c0-1 2.200-1.800 5-1.800S13 3 13 4v8c0 1-2.200 1.800-5 1.800S3 13 3 12zM3 4c0 1 2.200 1.800 5 1.800S13 5 13 4M3 8c0 1 2.200 1.800 5 1.800S13 9 13 8",
	"promises": "M6.500 9.500l3-3M5 6 3.300 7.700a3.500 3.500 0 0 0 5 5L10 11M6 5l1.700-1.700a3.500 3.500 0 0 1 5 5L11 10", "secrets": "M10.500 9.500a4 4 0 1 0-3.800-2.700L2.500 11v2.500H5V12h1.500v-1.500H8l.8-1.100M11 5h.01",
	"nodes": "M2.500 3h11v4h-11zM2.500 9h11v4h-11zM5 5h.01M5 11h.01", "settings": "M2.500 5h6M12 5h1.500M2.500 11h1.500M7.500 11h6M10.200 6.700a1.700 1.700 0 1 0 0-3.400 1.700 1.700 0 0 0 0 3.400M5.800 12.700a1.700 1.700 0 1 0 0-3.400 1.700 1.700 0 0 0 0 3.400",
	"menu":       "M2.500 4.500h11M2.500 8h11M2.500 11.500h11",
	"terminated": "M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0M6 6h4v4H6z", "flag": "M4 2v12M4 3h7.500l-1.500 2.700 1.500 2.800H4", "warn": "M8 2.500 14 13H2zM8 6.500v3M8 11.200v.1",
}

// icon returns an icon. The name is one of the table, never something from outside.
func icon(name any) template.HTML {
	path := ""
	switch n := name.(type) {
	case string:
		path = icons[n]
	case interface{ Ended() bool }: // a status
		path = icons[statusName(n)]
	}
	return template.HTML(`<svg class="i" viewBox="0 0 16 16" aria-hidden="true"><path d="` + path + `"/></svg>`)
}
