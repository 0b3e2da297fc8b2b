"""What the letters of a claim are on a model, as expressions in the model's symbols."""

from __future__ import annotations

import sympy
from sympy import Expr, Symbol

from derive.claims.letters import plain
from derive.claims.model import Undefined
from derive.claims.places import Env, Places
from derive.claims.symbols import DT, ETA
from derive.claims.syntax import IllFormed, Ref

_W = Symbol("w", real=True)


class Signals(Places):
    """The letters."""

    def objective(self, env: Env) -> Expr:
        """What ε and δ are of."""
        raise NotImplementedError

    def model_letter(self, k: int, name: str) -> Symbol | None:
        """The symbol of a unit's cell that is written with a letter."""
        u = self.model.unit(k)
        return next(
            (
                v
                for v, written in u.names.items()
                if plain(written) == name and v not in u.local.new
            ),
            None,
        )

    def expression(self, ref: Ref, env: Env) -> Expr:
        """A letter in the model's symbols."""
        model, name = self.model, ref.name
        times = [self.whole(v, env) for v in ref.args or ()]
        match name, ref.mark:
            case "J", "total":
                return sympy.Add(*(model.J(v) for v in range(times[0] + 1, times[1] + 1)))
            case "J", "":
                return model.J(times[0])
            case "η", "":
                return ETA
            case "Δt", "":
                return DT
            case "x", "net":
                line = self.whole(ref.lower[0], env)
                if not model.net.units <= line < model.net.units + model.net.inputs:
                    raise Undefined(f"x^net has no value for {line}: it is no input line", "index")
                return model.source(line, times[0])
            case "x", "":
                return self.heard(self.whole(ref.lower[0], env), times[0])
            case "d", "":
                return model.target(self.unit(ref.lower[0], env), times[0])
            case "e", "":
                k = self.unit(ref.lower[0], env)
                output = model.source(k, times[0])
                assert isinstance(output, Symbol)
                return sympy.diff(model.J(times[0]), output)
            case ("w", _):
                return self.weight(ref, env)
            case (("ε" | "δ"), _):
                return self.sensitivity(ref, env, times[0])
            case "p", _:
                k = self.unit(ref.upper[0], env)
                of = self.signal(k, ref.mark, times[0], ref)
                return model.ordered(of, self.by_weight(ref, env))
            case "Δw", _:
                return ETA * model.ordered(self.objective(env), self.by_weight(ref, env))
        k = self.unit(ref.lower[0], env) if ref.lower else 0
        return self.signal(k, name + "'" * ref.primes, times[0] if times else None, ref)

    def heard(self, l: int, time: int) -> Expr:  # noqa: E741 - the paper's letter
        model = self.model
        if not 0 <= l < model.net.units + model.net.inputs:
            raise Undefined(f"there is no unit or input line {l}", "index")
        if time < 0 and model.form.reaching_back:
            return sympy.S.Zero
        return model.source(l, time)

    def signal(self, k: int, name: str, time: int | None, ref: Ref) -> Expr:
        """A state, intermediate, net input or parameter of a unit, by its letter."""
        u = self.model.unit(k)
        v = self.model_letter(k, name)
        if v is None and name in u.cell.net_inputs:
            v = next(s for s in u.local.net_inputs if s.name == name)
        if v is None and name in ("", "y"):
            v = u.output
        if v is None:
            raise Undefined(f"unit {k} has no {name}: its cell is {u.cell.name}", "index")
        if v in u.local.old:
            if time is not None and time < 0 and self.model.form.reaching_back:
                return sympy.S.Zero
            return self.model.state(k, v.name, _given(time, ref))
        if v in (*u.local.parameters, *u.local.fixed):
            return self.model.parameter(k, v.name)
        return self.model.local(k, v, _given(time, ref))

    def port(self, k: int, mark: str) -> str:
        """The cell's name of a net input."""
        u = self.model.unit(k)
        for s, port in u.of_net_input.items():
            if not mark or port.name == mark:
                return str(s.name)
        raise Undefined(f"unit {k} has no net input {mark}", "index")

    def weight(self, ref: Ref, env: Env) -> Expr:
        """w_kl, which is 0 where nothing leads from l to k."""
        k = self.unit(ref.lower[0], env)
        source = self.whole(ref.lower[1], env)
        if not 0 <= source < self.model.net.units + self.model.net.inputs:
            raise Undefined(f"there is no unit or input line {source}", "index")
        there = self.model.connections(k, self.port(k, ref.mark), source)
        if ref.upper:
            own = there.get(self.whole(ref.upper[0], env))
            return sympy.S.Zero if own is None else own[_W]
        if len(there) > 1:
            raise IllFormed(
                "w needs its delay, as in w_kl^(D): several connections lead from one unit to "
                "another", ref.span)  # fmt: skip
        return next((own[_W] for own in there.values()), sympy.S.Zero)

    def by_weight(self, ref: Ref, env: Env) -> Symbol:
        of_weight = ref.name in ("w", "Δw")
        mark, delay = (ref.mark, ref.upper) if of_weight else ("", ())
        found = self.weight(Ref("w", mark, delay, ref.lower), env)
        if not isinstance(found, Symbol):
            raise Undefined("there is no weight to learn there", "weight")
        return found

    def sensitivity(self, ref: Ref, env: Env, time: int) -> Expr:
        """ε or δ."""
        k = self.unit(ref.lower[0], env)
        if time > self.model.steps and self.model.form.reaching_back:
            return sympy.S.Zero
        if ref.name == "δ":
            by: Expr = self.model.net_input(k, self.port(k, ref.mark), time)
        else:
            by = self.signal(k, ref.mark, time, ref)
        if not isinstance(by, Symbol):
            raise Undefined("nothing to differentiate by", "index")
        return self.model.ordered(self.objective(env), by)


def _given(time: int | None, ref: Ref) -> int:
    if time is None:
        raise IllFormed(f"{ref.name} needs its time", ref.span)
    return time
