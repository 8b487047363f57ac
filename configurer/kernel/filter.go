package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// sizeofNfgenmsg is struct nfgenmsg, linux/netfilter/nfnetlink.h.
const sizeofNfgenmsg = 4

// attributes returns those of an answer of nfnetlink.
func attributes(message []byte) (map[uint16][]byte, error) {
	if len(message) < sizeofNfgenmsg {
		return nil, errShort
	}
	return nested(message[sizeofNfgenmsg:])
}

// nested returns attributes by their types, the last of each.
func nested(data []byte) (map[uint16][]byte, error) {
	all, err := parseAttributes(data)
	if err != nil {
		return nil, fmt.Errorf("reading the kernel's answer: %w", err)
	}
	return maps.Collect(all), nil
}

// Rules implements configurer.Reader.
func (c *conn) Rules(family firewall.Family) ([]configurer.RuleAt, error) {
	filter, err := c.filter()
	if err != nil {
		return nil, err
	}
	request := filterRequest(unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, family)
	request.AddData(text(unix.NFTA_RULE_TABLE, firewall.Name))
	messages, err := filter.ask(request)
	if err != nil {
		return nil, noFirewall(err)
	}
	var rules []configurer.RuleAt
	for _, message := range messages {
		attrs, err := attributes(message)
		if err != nil {
			return nil, err
		}
		rules = append(rules, configurer.RuleAt{
			Chain: unix.ByteSliceToString(attrs[unix.NFTA_RULE_CHAIN]), Why: readComment(attrs[unix.NFTA_RULE_USERDATA]),
		})
	}
	return rules, nil
}

// Table implements configurer.Reader, in one exchange.
func (c *conn) Table(table firewall.Outline) (configurer.TableAt, error) {
	filter, err := c.filter()
	if err != nil {
		return configurer.TableAt{}, err
	}
	asks := filterRequest(unix.NFT_MSG_GETTABLE, 0, table.Family)
	asks.AddData(text(unix.NFTA_TABLE_NAME, firewall.Name))
	requests := []*nl.NetlinkRequest{asks}
	chains := slices.Sorted(maps.Keys(table.Uses))
	for _, chain := range chains {
		asks := filterRequest(unix.NFT_MSG_GETCHAIN, 0, table.Family)
		asks.AddData(text(unix.NFTA_CHAIN_TABLE, firewall.Name))
		asks.AddData(text(unix.NFTA_CHAIN_NAME, chain))
		requests = append(requests, asks)
	}
	answers, err := filter.exchange(requests)
	if err != nil {
		return configurer.TableAt{}, err
	}
	at := configurer.TableAt{Uses: map[string]int{}}
	for i, answer := range answers {
		if errors.Is(answer.err, configurer.ErrNotFound) {
			continue
		}
		if answer.err == nil && len(answer.messages) == 0 {
			answer.err = errShort
		}
		if answer.err != nil {
			return at, noFirewall(answer.err)
		}
		attrs, err := attributes(answer.messages[0])
		if err != nil {
			return at, err
		}
		if i == 0 {
			at.There, at.Version = true, readComment(attrs[tableUserdata])
			continue
		}
		at.Uses[chains[i-1]] = int(bigNumber(attrs[unix.NFTA_CHAIN_USE]))
	}
	return at, nil
}

// readComment is the other way of comment.
func readComment(data []byte) string {
	if len(data) > 2 && data[0] == udataComment {
		return unix.ByteSliceToString(data[2:])
	}
	return ""
}

// noFirewall makes what a kernel says that knows nothing of nftables into
// ErrNoFirewall.
func noFirewall(err error) error {
	for _, unknown := range []error{unix.EINVAL, unix.EOPNOTSUPP, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT} {
		if errors.Is(err, unknown) {
			return fmt.Errorf("%w: %w", configurer.ErrNoFirewall, err)
		}
	}
	return err
}

// Elements implements configurer.Reader. While the kernel makes room in a large set, a dump
// may have some elements twice and lack others, and has to be asked for again.
func (c *conn) Elements(set firewall.Set) ([]firewall.Element, error) {
	filter, err := c.filter()
	if err != nil {
		return nil, err
	}
	const tries = 10
	var elements []firewall.Element
	for range tries {
		elements, err = filter.elements(set)
		if err != nil || !hasTwice(elements) {
			break
		}
	}
	return elements, err
}

func hasTwice(elements []firewall.Element) bool {
	seen := map[string]bool{}
	for _, element := range elements {
		key := string(joined(element.Key))
		if seen[key] {
			return true
		}
		seen[key] = true
	}
	return false
}

func (s *socket) elements(set firewall.Set) ([]firewall.Element, error) {
	request := filterRequest(unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP, set.Family)
	request.AddData(text(unix.NFTA_SET_ELEM_LIST_TABLE, firewall.Name))
	request.AddData(text(unix.NFTA_SET_ELEM_LIST_SET, set.Name))
	messages, err := s.ask(request)
	if errors.Is(err, configurer.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, noFirewall(err)
	}
	var elements []firewall.Element
	for _, message := range messages {
		some, err := parseElements(set, message)
		if err != nil {
			return nil, err
		}
		elements = append(elements, some...)
	}
	return elements, nil
}

// Find implements configurer.Reader.
func (c *conn) Find(elements ...firewall.Element) ([]firewall.Element, error) {
	filter, err := c.filter()
	if err != nil {
		return nil, err
	}
	var found []firewall.Element
	for len(elements) > 0 {
		part := elements[:min(maxBatch, len(elements))]
		elements = elements[len(part):]
		var requests []*nl.NetlinkRequest
		for _, element := range part {
			requests = append(requests, encodeElements(unix.NFT_MSG_GETSETELEM, 0, element.Set, []firewall.Element{element})...)
		}
		answers, err := filter.exchange(requests)
		if err != nil {
			return nil, err
		}
		for i, answer := range answers {
			if errors.Is(answer.err, configurer.ErrNotFound) {
				continue
			}
			if answer.err != nil {
				return nil, noFirewall(answer.err)
			}
			for _, message := range answer.messages {
				some, err := parseElements(part[i].Set, message)
				if err != nil {
					return nil, err
				}
				found = append(found, some...)
			}
		}
	}
	return found, nil
}

func parseElements(set firewall.Set, message []byte) ([]firewall.Element, error) {
	attrs, err := attributes(message)
	if err != nil {
		return nil, err
	}
	list, err := parseAttributes(attrs[unix.NFTA_SET_ELEM_LIST_ELEMENTS])
	if err != nil {
		return nil, fmt.Errorf("reading the elements of %s: %w", set.Name, err)
	}
	var elements []firewall.Element
	for _, item := range list {
		element := firewall.Element{Set: set}
		parts, err := nested(item)
		if err == nil {
			element.Key, err = parseValues(set.Key, parts[unix.NFTA_SET_ELEM_KEY])
		}
		if err == nil && set.Data != nil {
			element.Data, err = parseValues(set.Data, parts[unix.NFTA_SET_ELEM_DATA])
		}
		if err != nil {
			return nil, fmt.Errorf("reading the elements of %s: %w", set.Name, err)
		}
		elements = append(elements, element)
	}
	return elements, nil
}

// parseValues takes values apart that were put together.
func parseValues(types []firewall.Type, data []byte) ([]firewall.Value, error) {
	attrs, err := nested(data)
	if err != nil {
		return nil, err
	}
	rest := attrs[unix.NFTA_DATA_VALUE]
	values := make([]firewall.Value, len(types))
	for i, kind := range types {
		length := int(dataTypes[kind].length)
		if len(rest) < length {
			return nil, errShort
		}
		values[i] = firewall.ValueOf(kind, bytes.Clone(rest[:length]))
		rest = rest[min(len(rest), int(padded(uint32(length)))):]
	}
	return values, nil
}
