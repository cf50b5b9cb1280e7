package fake

import (
	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/parser"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// expression is a rule in CEL with what it talks about, beside this.
type expression struct {
	root ast.Expr
	vars map[string]any
}

// expressions finds the CEL behind a violation at a field, a message or a
// message in a field, either of which may be nil: a rule of one of them, or a
// predefined rule. Standard rules give none, they are met by construction.
//
// The violation itself names no field where it is about an element of a list
// or map, so its id is looked up in all rules of the place.
func (m *maker) expressions(v *protovalidate.Violation, field protoreflect.FieldDescriptor, desc protoreflect.MessageDescriptor) []expression {
	id := v.Proto.GetRuleId()
	var texts []string
	vars := map[string]any{}
	if predefined := v.RuleDescriptor; predefined != nil && predefined.IsExtension() {
		if rules, err := protovalidate.ResolvePredefinedRules(predefined); err == nil {
			texts = byID(texts, id, nil, rules.GetCel())
		}
		vars["rule"] = constant(predefined, v.RuleValue)
	} else {
		if field != nil {
			rules := fieldRules(field)
			for _, r := range []*validate.FieldRules{
				rules, rules.GetRepeated().GetItems(), rules.GetMap().GetKeys(), rules.GetMap().GetValues(),
			} {
				texts = byID(texts, id, r.GetCelExpression(), r.GetCel())
			}
		}
		if desc != nil {
			rules := messageRules(desc)
			texts = byID(texts, id, rules.GetCelExpression(), rules.GetCel())
		}
	}
	var out []expression
	for _, text := range texts {
		if root := m.parse(text); root != nil {
			out = append(out, expression{root, vars})
		}
	}
	return out
}

// byID adds the expressions of the rules with an id; an expression without a
// rule is its own id (validate.proto, FieldRules.cel_expression).
func byID(texts []string, id string, plain []string, rules []*validate.Rule) []string {
	for _, text := range plain {
		if text == id {
			texts = append(texts, text)
		}
	}
	for _, r := range rules {
		if r.GetId() == id {
			texts = append(texts, r.GetExpression())
		}
	}
	return texts
}

// constant gives the value of a rule as CEL sees it, nil where that is not
// simple: lists as []any, wrappers as what they hold.
func constant(desc protoreflect.FieldDescriptor, v protoreflect.Value) any {
	if !desc.IsList() {
		return unwrapped(desc, v)
	}
	var out []any
	for i := range v.List().Len() {
		out = append(out, unwrapped(desc, v.List().Get(i)))
	}
	return out
}

func unwrapped(desc protoreflect.FieldDescriptor, v protoreflect.Value) any {
	if desc.Message() != nil {
		return place{msg: v.Message()}.native()
	}
	return simple(desc.Kind(), v)
}

// parse gives the syntax tree of an expression, macros as the calls they are
// written as; nil when it does not parse, which the validator reports.
func (m *maker) parse(text string) ast.Expr {
	if known, ok := m.parsed.Load(text); ok {
		return known.(ast.Expr)
	}
	p, err := parser.NewParser(parser.EnableOptionalSyntax(true), parser.EnableIdentEscapeSyntax(true))
	if err != nil {
		return nil
	}
	tree, problems := p.Parse(common.NewTextSource(text))
	if len(problems.GetErrors()) > 0 {
		return nil
	}
	m.parsed.Store(text, tree.Expr())
	return tree.Expr()
}
