#!/usr/bin/env python3
"""Templates with what jinja2 makes of them when it is called as transformers calls it.

    python3 tools/jinja_programs.py cases > test/data/jinja.jsonl    # written by hand, below
    python3 tools/jinja_programs.py random SEED COUNT                # made up; for test/jinja_test.c
    python3 tools/jinja_programs.py fetch DIR     # public templates, from llama-cpp-python's sources
    python3 tools/jinja_programs.py public DIR    # these, ten conversations each

Every line is {"template", "want"}, with "vars" where they are not those of the first line: the rendering, or null where jinja2 raises an error. It
needs jinja2 3.1 and nothing else: environment() repeats what transformers 4.51 sets.
"""
import datetime
import glob
import json
import os
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import warnings

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

warnings.simplefilter("ignore")
DATE = datetime.datetime(2024, 7, 26)


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    def stop(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = stop
    env.globals["strftime_now"] = DATE.strftime
    return env


ENV = environment()
VARS = {
    "messages": [{"role": "system", "content": " Be brief.\n"},
                 {"role": "user", "content": "  Gr\u00f6\u00dfe \u540d\u524d? "},
                 {"role": "assistant", "content": "<think>\nhm\n</think>\n\n It's \"5\"\\ \U0001f389"},
                 {"role": "user", "content": "one, two\nthree"}],
    "s": "The quick brown fox", "t": "a,b,,c", "u": "\u00e9t\u00e9 \u2028 x\u00a0", "empty": "",
    "n": 7, "neg": -3, "zero": 0, "x": 2.5, "tiny": 1e-7, "yes": True, "no": False, "nothing": None,
    "ints": [3, 1, 2, 2], "words": ["pear", "Apple", "fig", "apple"], "nil": [],
    "d": {"b": 1, "a": "two", "c": [1, {"k": None}]}, "void": {},
    "rows": [{"k": "x", "v": 3}, {"k": "Y", "v": 1}, {"k": "x", "v": 2}],
    "bos_token": "<s>", "add_generation_prompt": True, "tools": None,
}


def run(template, variables=None):
    try:
        return ENV.from_string(template).render(**json.loads(json.dumps(variables or VARS)))
    except Exception:
        return None


# Each tests what its line says; a template of several lines is one string.
CASES = r'''
{{ 1 + 2 * 3 - 4 // 3 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}
{{ 1e3 }} {{ 1.0 }} {{ 1e16 }} {{ 1e-5 }} {{ 123456789012345680.0 }} {{ 0.1 + 0.2 }} {{ 1_000 }}
{{ 9223372036854775807 }} {{ true }} {{ True and 3 }} {{ none or 'x' }} {{ not 0 }} {{ None }}
{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 1 == 1.0 }} {{ 'a' != 'b' }} {{ true == 1 }}
{{ 'a' < 1 }}
{{ 'b' in 'abc' }} {{ 'a' in d }} {{ 2 in ints }} {{ 'z' not in d }} {{ not 'z' in d }} {{ 1 in 'a' }}
{{ s[0] }}{{ s[-1] }}{{ s[4:9] }}{{ s[::-1] }}{{ s[:-4] }}{{ s[::3] }}{{ s[99] }}{{ s[99:] }}{{ s[-99:3] }}
{{ messages[1].content[3:8] }}|{{ u[::-1] }}|{{ u[1] }}
{{ ints[1:] }} {{ ints[::-1] }} {{ ints[-2:] }} {{ (1, 2, 3)[1:] }} {{ (1,) }} {{ () }} {{ ints[10] }}
{{ d.b }} {{ d['a'] }} {{ d.c[1].k }} {{ d.missing }} {{ d['missing'] }} {{ d.c.0 }} {{ d.items() | list }} {{ d.keys() | list }}
{{ d.missing.more }}
{{ missing }}|{{ missing | default('x') }}|{{ missing is defined }}|{{ missing == nothing }}|{{ missing ~ 'a' }}
{{ missing + 'a' }}
{{ missing.x }}
{{ missing() }}
{{ nothing.x }}|{{ nothing.x is undefined }}
{{ 'yes' if n > 5 else 'no' }} {{ 'x' if zero }}| {{ 'a' if zero else 'b' if yes else 'c' }}
{{ 'a' 'b' "c" }} {{ 'it\'s' }} {{ "\t\x41\u00e9\101\q" }} {{ 'a' ~ 1 ~ none ~ [1, 'x'] }}
{{ 'x' * 3 }} {{ [1] * 2 }} {{ 'a' * -1 }} {{ [1] + [2] }} {{ 'a' + 1 }}
{{ {'a': 1, 2: [none, true], 'b': 'it"s \'q\''} }} {{ ['a\n', "it's"] }} {{ [u] }}
{{ range(5) | list }} {{ range(2, 9, 3) | list }} {{ range(5, 0, -2) | list }} {{ range(3) }} {{ range(0) | length }}
{{ range(100001) }}
{{ dict(a=1, b=2) }} {{ dict(d, z=1) }} {{ d.get('b') }} {{ d.get('q', 5) }} {{ d.get('q') }}
{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}{% for i in [1] %}{% set x = 3 %}{{ x }}{% endfor %}{{ x }}
{% for i in ints %}{% set n = n + i %}{{ n }},{% endfor %}{{ n }}
{% set ns = namespace(a=1, l=[]) %}{% for i in ints %}{% set ns.a = ns.a + i %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.a }} {{ ns.l }}
{% set d.b = 1 %}
{% set a, b = 1, 'x' %}{{ b }}{{ a }}{% set (c, e) = ints[:2] %}{{ c }}{{ e }}
{% set a, b = ints %}
{% set body %} text {{ n }} {% set n = 9 %}{% endset %}[{{ body }}]{{ n }}
{% set body | upper | trim %} text {% endset %}[{{ body }}]
{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.length }}{{ loop.depth }};{% endfor %}
{% for m in messages if m.role == 'user' %}{{ loop.index }}/{{ loop.length }}{{ loop.last }}{{ m.content }}{% else %}none{% endfor %}
{% for m in messages if m.role == 'tool' %}x{% else %}none{% endfor %}
{% for m in messages %}{{ loop.previtem.role }}>{{ m.role }}>{{ loop.nextitem.role if loop.nextitem }} {% endfor %}
{% set ns = namespace(f=false) %}{% for m in messages if not ns.f %}{% if m.role == 'user' %}{% set ns.f = true %}{% endif %}{{ m.role }}{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for c in 'abc' %}{{ c }}{{ loop.cycle('-', '+') }}{% endfor %}
{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for r in rows %}{{ loop.changed(r.k) }}{% endfor %}{% for r in rows %}{% for q in rows %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}{{ loop }}
{% for i in nil %}x{% else %}empty{% endfor %}{% for i in missing %}x{% else %}undefined{% endfor %}
{% for i in nothing %}x{% endfor %}
{% if zero %}a{% elif n == 7 %}b{% elif true %}c{% else %}d{% endif %}
{% macro f(a, b=2, c='x') %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ f(1) }}{{ f(1, c=3) }}{{ f(1, 2, 3) }}{{ f() }}{{ f(b=a) }}
{% macro f(a) %}{% if a > 0 %}{{ a }}{{ f(a - 1) }}{% endif %}{% endmacro %}{{ f(5) }}{% set v = f(2) %}{{ v | length }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, z=4) }}
{% macro f(a) %}{{ a }}{{ later }}{% endmacro %}{% set later = 'L' %}{{ f(1) }}
{% macro box(t) %}<{{ t }}:{{ caller() }}>{% endmacro %}{% call box('b') %}in{{ n }}{% endcall %}
{% macro each(l) %}{% for i in l %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(i) each(ints) %}({{ i }}){% endcall %}
{% filter upper %}abc {{ s }}{% endfilter %}{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% generation %}{{ n }}{% set n = 3 %}{% endgeneration %}{{ n }}
{{ raise_exception('no') }}
{{ strftime_now('%d %b %Y %B %Y-%m-%d %A %j') }} {{ strftime_now is defined }}
{{ s | upper }} {{ s | lower }} {{ 'aBC dEF' | title }} {{ 'aBC' | capitalize }} {{ "they're o-k" | title }} {{ "they're".title() }}
{{ messages[1].content | upper }} {{ u | upper | lower }} {{ 'aB'.swapcase() }}
[{{ '  x ' | trim }}] [{{ 'xxaxx' | trim('x') }}] [{{ ' a '.lstrip() }}] [{{ ' a '.rstrip() }}] [{{ 'abcab'.strip('ab') }}] [{{ u.strip() }}]
{{ t.split(',') }} {{ t.split(',', 1) }} {{ t.rsplit(',', 1) }} {{ ' a  b '.split() }} {{ ' a  b c'.split(none, 1) }} {{ 'a'.split('x') }} {{ s.split('q')[-1] }}
{{ "a\nb\r\nc\n".splitlines() }} {{ 'x'.splitlines(true) }} {{ messages[3].content.splitlines() }}
{{ s.startswith('The') }} {{ s.endswith(('fox', 'cat')) }} {{ s.find('quick') }} {{ s.find('zz') }} {{ s.rfind('o') }} {{ s.count('o') }} {{ s.index('b') }}
{{ s.replace('o', '0') }} {{ s | replace('o', '0', 1) }} {{ 'aaa'.replace('a', 'bb', 2) }} {{ 'ab'.replace('', '-') }}
{{ ','.join(words) }} {{ words | join(' ') }} {{ rows | join(',', attribute='k') }} {{ ints | join }}
{{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'x'.zfill(3) }} {{ '-5'.zfill(4) }}
[{{ 'ab' | center(7) }}] [{{ 'abc'.center(8, '*') }}] [{{ 'a'.ljust(3) }}] [{{ 'a'.rjust(3) }}]
{{ '12'.isdigit() }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ 'Ab'.isupper() }} {{ 'ab'.islower() }} {{ ''.isdigit() }}
{{ '%s is %d%% of %5.2f' % ('x', 5, 2.345) }} {{ '%s' % n }} {{ '%r' % s }} {{ '%03d' | format(7) }} {{ '{0} {1} {k}'.format(1, 2, k=3) }} {{ '{}-{}'.format(s, n) }}
{{ words | sort }} {{ words | sort(reverse=true) }} {{ words | sort(case_sensitive=true) }} {{ rows | sort(attribute='v') }} {{ ints | sort(true) }}
{{ d | dictsort }}
{{ {'b': 1, 'A': 2} | dictsort }} {{ {'b': 1, 'A': 2} | dictsort(true) }} {{ {'b': 1, 'a': 2} | dictsort(by='value', reverse=true) }}
{{ ints | unique | list }} {{ words | unique | list }} {{ ints | sum }} {{ rows | sum(attribute='v') }} {{ ints | min }} {{ words | max }} {{ nil | max }}
{{ ints | first }} {{ ints | last }} {{ nil | first }}| {{ 'abc' | last }} {{ ints | reverse | list }} {{ 'abc' | reverse }} {{ 'abc' | list }}
{{ rows | map(attribute='k') | list }} {{ words | map('upper') | join(',') }} {{ rows | map(attribute='q', default=0) | list }} {{ words | map('replace', 'p', 'P') | list }}
{{ ints | select('odd') | list }} {{ ints | reject('equalto', 2) | list }} {{ rows | selectattr('k', 'equalto', 'x') | map(attribute='v') | list }} {{ rows | rejectattr('k', 'in', ['x']) | list }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ [0, 1, '', 'a'] | select | list }} {{ rows | selectattr('v') | list | length }}
{% set g = messages | selectattr('role', '==', 'user') %}{% for m in g %}{{ m.role }}{% endfor %}{% for m in g %}again{% endfor %}{% if nil | select %}truthy{% endif %}
{% for g in rows | groupby('k') %}{{ g.grouper }}:{{ g.list | map(attribute='v') | list }}{{ g[0] }};{% endfor %}{% for k, l in rows | groupby('k') %}{{ k }}{{ l | length }}{% endfor %}
{{ ints | batch(3) | list }} {{ ints | batch(3, 0) | list }} {{ d | items | list }} {{ missing | items | list }}
{{ s | length }} {{ u | length }} {{ d | length }} {{ ints | count }} {{ n | length }}
{{ '42' | int }} {{ '4x' | int }} {{ '4.9' | int }} {{ x | int }} {{ none | int(5) }} {{ ' 7 ' | int }} {{ '1.5' | float }} {{ 'a' | float }} {{ '1e2' | float }} {{ 3 | float }}
{{ 2.567 | round(2) }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.1 | round(0, 'ceil') }} {{ 7 | round }} {{ neg | abs }} {{ x | string ~ 'x' }}
{{ d | tojson }} {{ [1, 2.0, none, true, "a\"b\\\n\té\u2028"] | tojson }} {{ d | tojson(indent=2) }} {{ 'é' | tojson(ensure_ascii=true) }} {{ d | tojson(sort_keys=true, separators=(',', ':')) }} {{ [] | tojson(indent=4) }} {{ {} | tojson }} {{ '🎉' | tojson(true) }}
{{ missing | tojson }}
{{ "a\nb\n\nc" | indent }}|{{ "a\nb" | indent(2, true) }}|{{ "a\n\nb" | indent(1, blank=true) }}|{{ 'a' | indent('--', first=true) }}|{{ '' | indent }}
{{ s | wordcount }} {{ missing | default }}| {{ empty | default('e', true) }} {{ nothing | default('n') }} {{ nothing | d('n', boolean=true) }}
{{ n is odd }} {{ n is even }} {{ n is divisibleby 7 }} {{ n is divisibleby(2) }} {{ s is string }} {{ n is number }} {{ n is integer }} {{ x is float }} {{ yes is boolean }} {{ yes is number }} {{ yes is integer }}
{{ d is mapping }} {{ ints is sequence }} {{ ints is iterable }} {{ s is iterable }} {{ s is sequence }} {{ n is iterable }} {{ d is sequence }} {{ missing is sequence }} {{ nothing is none }} {{ nothing is not none }} {{ s is mapping }}
{{ yes is true }} {{ no is false }} {{ 1 is true }} {{ n is gt 3 }} {{ n is in [7] }} {{ n is eq 7 }} {{ n is sameas 7 }} {{ range is callable }} {{ s is lower }} {{ 'ABC' is upper }} {{ n is not defined }}
{{ n is defined and n > 3 }} {{ n is string or s is string }} {{ (n is odd) is true }} {{ not n is odd }} {{ n is odd if yes else 3 }}
{{ n | nosuch }}
{{ nothing | map('upper') | list }}{{ nothing | selectattr('k') | list }}{{ nothing | reject('odd') | list }}
{{ nothing | list }}
{{ n is nosuch }}
{{ messages.append(1) }}
{{ '{} {1}'.format(1, 2) }}
{{ s.__class__ }}|{{ d.__class__ }}|{{ d._x }}
{{ s.__class__.mro }}
{{ s.nosuch }}|{{ s.nosuch is defined }}
{{ s.nosuch() }}
{{ n.x }}{{ d.items is callable }}{{ messages[0].role.upper() }}{{ (messages | last).role }}{{ messages[-1]['content'][:3] }}
{{ '<s>' if bos_token is defined else '' }}{{ bos_token }}{% if tools is not none %}T{% endif %}{% if not tools %}F{% endif %}
a{# comment {{ x }} #}b {#- x -#} c
{% raw %}{{ not }} {% if %}{% endraw %}
{%- raw -%}  {{ x }}  {%- endraw -%}  z
{{ '{{' }} {{ '%}' }} {{ {'a': {'b': 1}}['a']['b'] }} {{ {'a': {}} }}
{{ 1 }}-{{- 2 -}} - {{ 3 }}
{{ n -}}   x   {{- n }}
{%- if yes -%}   x   {%- endif -%}   y
{{ [1, 2,] }} {{ {'a': 1,} }} {{ (1, 2,) }} {{ [[]] }} {{ [1, [2, (3, {'k': 'v'})]] }}
{{ words[0][0] | upper }}{{ words[0][1:] }}{{ -ints[0] }}{{ - -1 }}{{ +1 }}{{ not not 1 }} {{ (2).__class__ }}
{{ 'a' is string and 'b' }} {{ 1 in [1] and 2 not in [1] }} {{ 'abc' | replace('b', '') | upper ~ '!' }} {{ ('a' ~ 'b') | upper }}
{{ "%d" % "x" }}
{{ 1 / 0 }}
{{ s | join('-') }} {{ d | list }} {{ d | first }} {{ d | join }} {{ 'ß'.upper() }} {{ 'Ünï'.lower() }}
{{ s['upper']() }} {{ d['items']() | list }} {{ s['nosuch'] }}
{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% endif %}{{ loop_messages | length }}{{ system_message | trim }}
{%- for message in messages %}{%- set content = message.content %}{%- if '</think>' in content %}{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}{{- '<|' + message.role + '|>' + content }}{%- endfor %}
{% print 1, 2 %}
{% break %}
{{ 1 }
{% if x %}
{% endif %}
{{ x y }}
{% for in x %}{% endfor %}
{{ 'abc }}
{% set %}{% endset %}
{% nosuch %}
'''.strip().split("\n") + [
    "a\n  {% if yes %}\n  b\n  {% endif %}\n  c\n", "x\n\n", "x\r\ny\r\n", "\n{{ n }}\n", " {{ n }}\n x",
    "  {%+ if yes %}b{% endif +%}\n  c", "{% if yes %}\n\nb{% endif %}\n\nc", "a {%- if yes %}\n b\n {%- endif %}\n c",
    "a\n  {# c #}\n  b", "a  {# c #}\n  b", "a\n  {%- set q = 1 -%}\n  b", "{% for i in ints %}\n  {{ i }}\n{% endfor %}\nend",
    "{% for i in ints -%}\n  {{ i }}\n  {%- if not loop.last %}, {% endif %}\n{%- endfor %}", "\t {% if yes %}\tx{% endif %}\t\n",
    "{% if yes %}  {% set a = 1 %}  {% endif %}|", "{%- if yes %}\n    {%- set a = 'x' %}\n{%- endif %}\n{{- a }}",
    "a\u00a0{%- if yes %}b{% endif %}", "{{ n }}\n", "{{ n }}\n\n", "{% raw %}\n  a\n{% endraw %}\nb\n", "  {% raw %}x{% endraw %}\n",
    "{#- a -#}\n\n b {#+ c +#}\n d", "{% set x %}\n a\n {% endset %}\n[{{ x }}]", "line\n   {{- n }}", "{{ 'a\nb' }}{{ 'a\\\nb' }}",
]


class Maker:
    """Makes up programs; most run, some raise."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.depth, self.most = 0, 3

    def pick(self, *makers):
        self.depth += 1
        one = self.r.choice(makers)
        text = one() if callable(one) else one
        self.depth -= 1
        return text

    def deep(self):
        return self.depth > self.most

    def str_(self):
        plain = ["s", "t", "u", "empty", "'x'", "'a b'", '"it\'s"', "messages[0].role", "messages[1]['content']",
                 "messages[-1].content", "d.a", "words[0]", "'\\n'", "bos_token"]
        if self.deep():
            return self.r.choice(plain)
        return self.pick(*plain, *plain[:4],
                         lambda: f"({self.str_()} + {self.str_()})", lambda: f"({self.any_()} ~ {self.any_()})",
                         lambda: f"{self.str_()}[{self.slice_()}]", lambda: f"{self.str_()}[{self.int_()}]",
                         lambda: f"({self.str_()} | {self.r.choice(['upper', 'lower', 'trim', 'capitalize', 'title', 'string', 'reverse', 'first', 'last'])})",
                         lambda: f"{self.str_()}.{self.r.choice(['strip()', 'lstrip()', 'rstrip()', 'upper()', 'lower()', 'title()', 'capitalize()'])}",
                         lambda: f"{self.str_()}.replace({self.str_()}, {self.str_()})",
                         lambda: f"({self.str_()} | replace('a', {self.str_()}))",
                         lambda: f"({self.list_()} | join({self.str_()}))",
                         lambda: f"({self.any_()} | tojson)", lambda: f"({self.any_()} | string)",
                         lambda: f"{self.str_()}.split({self.str_()})[{self.r.choice(['0', '-1', '1'])}]",
                         lambda: f"({self.str_()} if {self.bool_()} else {self.str_()})",
                         lambda: f"({self.str_()} * {self.r.randint(-1, 3)})",
                         lambda: f"({self.str_()} | indent({self.r.randint(0, 3)}))",
                         lambda: f"({self.str_()} | default({self.str_()}, {self.r.choice(['true', 'false'])}))")

    def slice_(self):
        part = lambda: self.pick("", lambda: str(self.r.randint(-6, 6)))
        step = self.r.choice(["", ":", ":2", ":-1", ":-2"])
        return f"{part()}:{part()}{step}"

    def int_(self):
        plain = ["n", "neg", "zero", "1", "2", "3", "ints[0]", "d.b", "rows[0].v"]
        if self.deep():
            return self.r.choice(plain)
        return self.pick(*plain, lambda: f"({self.int_()} {self.r.choice('+-*')} {self.int_()})",
                         lambda: f"({self.int_()} {self.r.choice(['//', '%'])} {self.int_()})",
                         lambda: f"({self.str_()} | length)", lambda: f"({self.list_()} | length)",
                         lambda: f"({self.any_()} | int)", lambda: f"({self.int_()} | abs)",
                         lambda: f"{self.str_()}.find({self.str_()})", lambda: f"{self.str_()}.count({self.str_()})",
                         lambda: f"(-{self.int_()})")

    def real(self):
        return self.pick("x", "tiny", "1.5", lambda: f"({self.int_()} / {self.int_()})", lambda: f"({self.int_()} * x)",
                         lambda: f"({self.any_()} | float)", lambda: "(x | round(1))")

    def bool_(self):
        if self.deep():
            return self.r.choice(["yes", "no", "true", "n > 3"])
        return self.pick("yes", "no", "loop is defined", lambda: f"{self.int_()} {self.r.choice(['<', '<=', '>', '>=', '==', '!='])} {self.int_()}",
                         lambda: f"{self.any_()} {self.r.choice(['==', '!='])} {self.any_()}",
                         lambda: f"({self.bool_()} {self.r.choice(['and', 'or'])} {self.bool_()})",
                         lambda: f"(not {self.bool_()})", lambda: f"({self.str_()} {self.r.choice(['in', 'not in'])} {self.str_()})",
                         lambda: f"({self.any_()} in {self.list_()})",
                         lambda: f"({self.any_()} is {self.r.choice(['defined', 'none', 'string', 'number', 'mapping', 'sequence', 'iterable', 'boolean', 'integer', 'float', 'true', 'not none', 'not defined', 'undefined'])})",
                         lambda: f"{self.str_()}.startswith({self.str_()})", lambda: f"({self.int_()} is {self.r.choice(['odd', 'even', 'divisibleby 3', 'gt 2', 'in ints'])})",
                         lambda: f"({self.str_()} < {self.str_()})")

    def list_(self):
        plain = ["ints", "words", "nil", "messages", "rows", "[1, 'a', none]", "(1, 2)", "(range(4) | list)"]
        if self.deep():
            return self.r.choice(plain)
        return self.pick(*plain, lambda: f"[{self.any_()}, {self.any_()}]", lambda: f"{self.list_()}[{self.slice_()}]",
                         lambda: f"({self.list_()} | list)", lambda: f"{self.str_()}.split({self.pick('', chr(39) + ',' + chr(39), self.str_)})",
                         lambda: f"({self.pick('ints', 'words')} | sort({self.pick('', 'reverse=true')}))",
                         lambda: f"({self.list_()} | reverse | list)", lambda: f"({self.list_()} | unique | list)",
                         lambda: f"(rows | {self.r.choice(['select', 'reject'])}attr('k', 'equalto', 'x') | list)",
                         lambda: f"(messages | map(attribute='{self.r.choice(['role', 'content', 'nope'])}') | list)",
                         lambda: f"({self.list_()} | map('{self.r.choice(['string', 'upper', 'default'])}') | list)",
                         lambda: f"({self.list_()} | select('{self.r.choice(['string', 'defined', 'number', 'mapping'])}') | list)",
                         lambda: f"(d.{self.r.choice(['items', 'keys', 'values'])}() | list)", lambda: f"({self.dict_()} | dictsort)",
                         lambda: f"{self.str_()}.splitlines()", lambda: f"({self.list_()} + {self.list_()})",
                         lambda: f"({self.list_()} | batch(2) | list)")

    def dict_(self):
        return self.pick("d", "void", "rows[1]", "messages[0]", lambda: "{'a': 1}", lambda: f"{{'k': {self.any_()}, 'v': {self.any_()}}}",
                         lambda: f"dict(q={self.int_()})")

    def any_(self):
        if self.deep():
            return self.r.choice(["n", "s", "x", "ints", "d", "nothing", "yes"])
        return self.pick(self.str_, self.str_, self.int_, self.bool_, self.real, self.list_, self.dict_, "nothing", "missing",
                         "d.nope", lambda: f"({self.dict_()}.get({self.str_()}))", lambda: f"{self.list_()}[{self.int_()}]",
                         lambda: f"({self.list_()} | first)", lambda: f"({self.list_()} | last)", lambda: f"({self.any_()} or {self.any_()})")

    def tag(self, text):
        return "{%" + self.r.choice(["", "", "", "-", "+"]) + f" {text} " + self.r.choice(["", "", "", "-"]) + "%}"

    def data(self):
        return self.r.choice(["", " ", "\n", "text", "  \n", "\n  ", "<|im_end|>\n", " a ", "\u00e9 ", "{# note #}", "{#- n -#}"])

    def name(self):
        return self.r.choice(["a", "b", "c", "ns.f"])

    def statement(self):
        if self.deep():
            return "{{ " + self.any_() + " }}"
        return self.pick(lambda: "{{" + self.r.choice(["", "-"]) + f" {self.any_()} " + self.r.choice(["", "-"]) + "}}",
                         lambda: "{{ " + self.any_() + " }}", self.data,
                         lambda: self.tag(f"set {self.name()} = {self.any_()}"),
                         lambda: self.tag(f"if {self.bool_()}") + self.block() + self.r.choice(["", self.tag(f"elif {self.bool_()}") + self.block()])
                         + self.r.choice(["", self.tag("else") + self.block()]) + self.tag("endif"),
                         self.loop, self.loop,
                         lambda: self.tag("set a") + self.block() + self.tag("endset"),
                         lambda: self.tag(f"macro f(a, b={self.int_()})") + self.block() + self.tag("endmacro") + f"{{{{ f({self.any_()}) }}}}",
                         lambda: self.tag(f"filter {self.r.choice(['upper', 'trim', 'length'])}") + self.block() + self.tag("endfilter"),
                         lambda: self.tag("generation") + self.block() + self.tag("endgeneration"),
                         lambda: self.tag(f"with a = {self.any_()}") + self.block() + self.tag("endwith"))

    def loop(self):
        over = self.pick(lambda: ("i", self.list_()), lambda: ("m", "messages"), lambda: ("k, v", "d.items()"), lambda: ("i", "range(3)"))
        test = self.pick("", "", lambda: f" if {self.bool_()}")
        inner = self.pick(self.block, lambda: "{{ loop.index }}" + self.block(), lambda: "{{ loop.last }}" + self.block(),
                          lambda: self.block() + self.tag(f"if {self.bool_()}") + self.tag(self.r.choice(["break", "continue"])) + self.tag("endif") + self.block(),
                          lambda: "{{ loop.length }}{{ loop.revindex }}" + self.block(),
                          lambda: "{{ loop.nextitem is defined }}{{ loop.previtem is defined }}" + self.block())
        other = self.pick("", "", lambda: self.tag("else") + self.block())
        return self.tag(f"for {over[0]} in {over[1]}{test}") + inner + other + self.tag("endfor")

    def block(self):
        return "".join(self.statement() for _ in range(self.r.randint(0, 2))) + self.data()

    def program(self):
        self.most = self.r.randint(1, 5)
        return self.tag("set ns = namespace(f=0)") + "".join(self.statement() for _ in range(self.r.randint(1, 4))) + self.data()


def write(templates):
    print(json.dumps({"vars": VARS}, ensure_ascii=False))
    for t in templates:
        print(json.dumps({"template": t, "want": run(t)}, ensure_ascii=False))


def fetch(folder):
    """NAME.jinja for every file of llama.cpp's models/templates and string of its test."""
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:",
                        "-d", tmp, "llama-cpp-python==0.3.9"], check=True)
        with tarfile.open(glob.glob(tmp + "/*.tar.gz")[0]) as tar:
            for member in tar:
                name = os.path.basename(member.name)
                if name.endswith(".jinja"):
                    text = tar.extractfile(member).read().decode()
                elif name == "test-chat-template.cpp":
                    found = re.findall(r'\n *(?:/\* \.template_str= \*/ *)(?:U8C\()?(?:u8)?("(?:[^"\\\n]|\\.)*"|R"\((?:.|\n)*?\)")',
                                       tar.extractfile(member).read().decode())
                    for i, one in enumerate(found):
                        text = one[3:-2] if one[0] == "R" else json.loads(one.replace("\\'", "'"))
                        open(f"{folder}/test{i:02}.jinja", "w").write(text)
                    continue
                else:
                    continue
                open(f"{folder}/{name}", "w").write(text)


def conversations():
    def m(*contents, system=None):
        turns = [] if system is None else [{"role": "system", "content": system}]
        return turns + [{"role": ("user", "assistant")[i % 2], "content": c} for i, c in enumerate(contents)]

    return [m("Who wrote it?"), m("Who wrote it?", system="Be brief."), m("Who?", "Nobody.", "When?"),
            m("Who?", "Nobody.", "When?", "Never.", system="Be brief."), m("Hi", system=""),
            m("  Gr\u00f6\u00dfe \u3000", "\n \U0001f389 \u00e9\u0301 ", "\tx\u00a0\n", "\n\n ok \n", system="\u2003 \u540d\u524d \n"),
            m(" a<|im_end|>[/INST]</s>b ", "c{eos}<|eot_id|> {{ d }}"),
            m("Q", "<think>\nhm\n</think>\n\nA", "R"), m("one", "two") + [{"role": "assistant", "content": "again"}],
            m("call it", system="S") + [{"role": "tool", "content": "{\"x\": 1}"}]]


def public(folder):
    print(json.dumps({"vars": VARS}))
    for path in sorted(glob.glob(folder + "/*.jinja")):
        template = open(path).read()
        for messages in conversations():
            for open_ in (False, True):
                v = {"messages": messages, "add_generation_prompt": open_, "tools": None, "documents": None,
                     "bos_token": "<s>", "eos_token": "</s>"}
                print(json.dumps({"template": template, "vars": v, "want": run(template, v), "name": os.path.basename(path)}))


if sys.argv[1] == "cases":
    write(CASES)
elif sys.argv[1] == "fetch":
    fetch(sys.argv[2])
elif sys.argv[1] == "public":
    public(sys.argv[2])
else:
    maker = Maker(int(sys.argv[2]))
    write([maker.program() for _ in range(int(sys.argv[3]))])
