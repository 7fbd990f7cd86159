package jinja

// Expressions.
type (
	expr interface{ pos() int } // the line

	at int

	literal struct {
		at
		value any
	}
	variable struct {
		at
		name string
	}
	listOf struct {
		at
		items []expr
		tuple bool
	}
	dictOf struct {
		at
		keys, values []expr
	}
	attribute struct {
		at
		of   expr
		name string
	}
	item struct {
		at
		of, key expr
	}
	slice struct {
		at
		of, start, stop, step expr // each but of may be nil
	}
	call struct {
		at
		fn   expr
		args arguments
	}
	filter struct {
		at
		of   expr // nil in {% filter %} and {% set x | f %} blocks: the block's text
		name string
		args arguments
	}
	test struct {
		at
		of   expr
		name string
		args arguments
		not  bool
	}
	unary struct {
		at
		op string
		of expr
	}
	binary struct {
		at
		op          string
		left, right expr
	}
	compare struct {
		at
		first expr
		ops   []string
		rest  []expr
	}
	choice struct {
		at
		cond, then, otherwise expr // otherwise may be nil
	}
)

type arguments struct {
	positional []expr
	names      []string
	named      []expr
}

func (a at) pos() int { return int(a) }

// Statements.
type (
	stmt interface{}

	data   struct{ text string }
	output struct{ value expr }
	ifElse struct {
		cond            expr
		then, otherwise []stmt
	}
	forEach struct {
		at
		targets         []string
		unpack          bool
		in, cond        expr // cond may be nil
		body, otherwise []stmt
		recursive       bool
	}
	assign struct {
		at
		targets []string
		member  string // of the namespace targets[0], or ""
		unpack  bool
		value   expr
	}
	assignBlock struct {
		at
		target, member string
		filter         expr // may be nil
		body           []stmt
	}
	macro struct {
		at
		name     string
		params   []string
		defaults []expr // of the last parameters
		body     []stmt
	}
	callBlock struct {
		at
		call   *call
		caller *macro
	}
	filterBlock struct {
		filter expr
		body   []stmt
	}
	scoped struct { // {% with %}, and tags that only group
		names  []string
		values []expr
		body   []stmt
	}
	breakLoop    struct{}
	continueLoop struct{}
)
