package corpus.generics;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

@Retention(RetentionPolicy.RUNTIME)
@Target({ElementType.TYPE, ElementType.METHOD})
@interface Checked {
    byte level() default 1;
}

@FunctionalInterface
interface Mapper<A, B> {
    B map(A from);
}

class Box<T> {
    private T content;
    private Box<T> next;

    Box(T content, Box<T> next) {
        this.content = content;
        this.next = next;
    }

    T get() {
        return content;
    }

    <R> Box<R> map(Mapper<? super T, ? extends R> mapper) {
        return new Box<R>(mapper.map(content), next == null ? null : next.map(mapper));
    }

    Box<T> next() {
        return next;
    }
}

class Number {
    final short value;

    Number(short value) {
        this.value = value;
    }
}

@Checked(level = 3)
public class Generics {
    @Deprecated
    @SuppressWarnings({"unchecked", "rawtypes"})
    public static short boxes(short a, short b) {
        Box<Number> list = new Box<Number>(new Number(a), new Box<Number>(new Number(b), null));
        Box<Number> twice = list.map(new Mapper<Number, Number>() {
            @Override
            public Number map(Number from) {
                return new Number((short) (from.value * 2));
            }
        });
        Box raw = twice;
        short sum = ((Number) raw.get()).value;
        for (Box<Number> each = twice; each != null; each = each.next()) {
            sum += each.get().value;
        }
        return sum;
    }

    @Checked
    public static short each(byte[] bytes, short[] shorts) {
        short sum = 0;
        for (byte value : bytes) {
            if (value == 0) {
                continue;
            }
            for (short other : shorts) {
                if (other == value) {
                    break;
                }
                sum += other * value;
            }
        }
        Number[] numbers = {new Number(sum), new Number((short) 4)};
        for (Number number : numbers) {
            sum ^= number.value;
        }
        return sum;
    }

    public static short loops(byte from, short to) {
        short sum = 0;
        outer:
        for (short i = from; i < 50; i++) {
            short j = to;
            do {
                j -= 7;
                if (j == i) {
                    continue outer;
                }
                if (sum > 5000) {
                    break outer;
                }
                sum += j;
            } while (j > i);
            while (true) {
                if (j++ > 5) {
                    break;
                }
                if (j < -300) {
                    j = -5;
                }
            }
        }
        return sum;
    }
}
