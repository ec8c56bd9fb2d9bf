//! The functions by name, with the types they take and give.

/// Type of an expression's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// One number at each step.
    Scalar,
    /// A number or histogram for each series at each step.
    Vector,
    /// Samples of a window for each series.
    Matrix,
    /// A text.
    Text,
}

impl Type {
    /// As error messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Type::Scalar => "scalar",
            Type::Vector => "instant vector",
            Type::Matrix => "range vector",
            Type::Text => "string",
        }
    }
}

/// How many arguments there may be beyond the required ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// None.
    No,
    /// The last one listed may be left out.
    Optional,
    /// The last one listed may come any number of times, also not at all.
    Any,
    /// The last one listed comes once or up to so many times.
    UpTo(usize),
}

/// A function.
#[derive(Debug)]
pub struct Function {
    /// Name.
    pub name: &'static str,
    /// Which.
    pub id: Func,
    /// Types of its arguments.
    pub args: &'static [Type],
    /// Whether there may be more or fewer.
    pub more: More,
    /// What it gives.
    pub returns: Type,
}

/// Generates [`Func`] and the table from one list.
macro_rules! functions {
    ($($id:ident $name:literal ($($arg:ident),*) $more:expr => $ret:ident;)*) => {
        /// The functions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Func { $($id),* }

        /// All functions.
        pub static FUNCTIONS: &[Function] = &[
            $(Function { name: $name, id: Func::$id, args: &[$(Type::$arg),*], more: $more, returns: Type::$ret }),*
        ];
    };
}

functions! {
    Abs "abs" (Vector) More::No => Vector;
    Absent "absent" (Vector) More::No => Vector;
    AbsentOverTime "absent_over_time" (Matrix) More::No => Vector;
    Acos "acos" (Vector) More::No => Vector;
    Acosh "acosh" (Vector) More::No => Vector;
    Asin "asin" (Vector) More::No => Vector;
    Asinh "asinh" (Vector) More::No => Vector;
    Atan "atan" (Vector) More::No => Vector;
    Atanh "atanh" (Vector) More::No => Vector;
    AvgOverTime "avg_over_time" (Matrix) More::No => Vector;
    Ceil "ceil" (Vector) More::No => Vector;
    Changes "changes" (Matrix) More::No => Vector;
    Clamp "clamp" (Vector, Scalar, Scalar) More::No => Vector;
    ClampMax "clamp_max" (Vector, Scalar) More::No => Vector;
    ClampMin "clamp_min" (Vector, Scalar) More::No => Vector;
    Cos "cos" (Vector) More::No => Vector;
    Cosh "cosh" (Vector) More::No => Vector;
    CountOverTime "count_over_time" (Matrix) More::No => Vector;
    DayOfMonth "day_of_month" (Vector) More::Optional => Vector;
    DayOfWeek "day_of_week" (Vector) More::Optional => Vector;
    DayOfYear "day_of_year" (Vector) More::Optional => Vector;
    DaysInMonth "days_in_month" (Vector) More::Optional => Vector;
    Deg "deg" (Vector) More::No => Vector;
    Delta "delta" (Matrix) More::No => Vector;
    Deriv "deriv" (Matrix) More::No => Vector;
    DoubleExponentialSmoothing "double_exponential_smoothing" (Matrix, Scalar, Scalar) More::No => Vector;
    End "end" () More::No => Scalar;
    Exp "exp" (Vector) More::No => Vector;
    FirstOverTime "first_over_time" (Matrix) More::No => Vector;
    Floor "floor" (Vector) More::No => Vector;
    HistogramAvg "histogram_avg" (Vector) More::No => Vector;
    HistogramCount "histogram_count" (Vector) More::No => Vector;
    HistogramFraction "histogram_fraction" (Scalar, Scalar, Vector) More::No => Vector;
    HistogramQuantile "histogram_quantile" (Scalar, Vector) More::No => Vector;
    HistogramQuantiles "histogram_quantiles" (Vector, Text, Scalar) More::UpTo(10) => Vector;
    HistogramStddev "histogram_stddev" (Vector) More::No => Vector;
    HistogramStdvar "histogram_stdvar" (Vector) More::No => Vector;
    HistogramSum "histogram_sum" (Vector) More::No => Vector;
    Hour "hour" (Vector) More::Optional => Vector;
    Idelta "idelta" (Matrix) More::No => Vector;
    Increase "increase" (Matrix) More::No => Vector;
    Info "info" (Vector, Vector) More::Optional => Vector;
    Irate "irate" (Matrix) More::No => Vector;
    LabelJoin "label_join" (Vector, Text, Text, Text) More::Any => Vector;
    LabelReplace "label_replace" (Vector, Text, Text, Text, Text) More::No => Vector;
    LastOverTime "last_over_time" (Matrix) More::No => Vector;
    Ln "ln" (Vector) More::No => Vector;
    Log10 "log10" (Vector) More::No => Vector;
    Log2 "log2" (Vector) More::No => Vector;
    MadOverTime "mad_over_time" (Matrix) More::No => Vector;
    MaxOf "max_of" (Scalar, Scalar) More::No => Scalar;
    MaxOverTime "max_over_time" (Matrix) More::No => Vector;
    MinOf "min_of" (Scalar, Scalar) More::No => Scalar;
    MinOverTime "min_over_time" (Matrix) More::No => Vector;
    Minute "minute" (Vector) More::Optional => Vector;
    Month "month" (Vector) More::Optional => Vector;
    Pi "pi" () More::No => Scalar;
    PredictLinear "predict_linear" (Matrix, Scalar) More::No => Vector;
    PresentOverTime "present_over_time" (Matrix) More::No => Vector;
    QuantileOverTime "quantile_over_time" (Scalar, Matrix) More::No => Vector;
    Rad "rad" (Vector) More::No => Vector;
    Range "range" () More::No => Scalar;
    Rate "rate" (Matrix) More::No => Vector;
    Resets "resets" (Matrix) More::No => Vector;
    Round "round" (Vector, Scalar) More::Optional => Vector;
    Scalar "scalar" (Vector) More::No => Scalar;
    Sgn "sgn" (Vector) More::No => Vector;
    Sin "sin" (Vector) More::No => Vector;
    Sinh "sinh" (Vector) More::No => Vector;
    Sort "sort" (Vector) More::No => Vector;
    SortByLabel "sort_by_label" (Vector, Text) More::Any => Vector;
    SortByLabelDesc "sort_by_label_desc" (Vector, Text) More::Any => Vector;
    SortDesc "sort_desc" (Vector) More::No => Vector;
    Sqrt "sqrt" (Vector) More::No => Vector;
    Start "start" () More::No => Scalar;
    StartTimestamp "start_timestamp" (Vector) More::No => Vector;
    StddevOverTime "stddev_over_time" (Matrix) More::No => Vector;
    StdvarOverTime "stdvar_over_time" (Matrix) More::No => Vector;
    Step "step" () More::No => Scalar;
    SumOverTime "sum_over_time" (Matrix) More::No => Vector;
    Tan "tan" (Vector) More::No => Vector;
    Tanh "tanh" (Vector) More::No => Vector;
    Time "time" () More::No => Scalar;
    Timestamp "timestamp" (Vector) More::No => Vector;
    TsOfFirstOverTime "ts_of_first_over_time" (Matrix) More::No => Vector;
    TsOfLastOverTime "ts_of_last_over_time" (Matrix) More::No => Vector;
    TsOfMaxOverTime "ts_of_max_over_time" (Matrix) More::No => Vector;
    TsOfMinOverTime "ts_of_min_over_time" (Matrix) More::No => Vector;
    Vector "vector" (Scalar) More::No => Vector;
    Year "year" (Vector) More::Optional => Vector;
}

/// The function of that name.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok().map(|i| &FUNCTIONS[i])
}

impl Func {
    /// Whether its value depends on the time of evaluation even when its arguments do not.
    pub fn reads_clock(self, args: usize) -> bool {
        use Func as F;
        match self {
            F::Time | F::Timestamp | F::PredictLinear => true,
            F::DayOfMonth | F::DayOfWeek | F::DayOfYear | F::DaysInMonth | F::Hour | F::Minute | F::Month | F::Year => args == 0,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_found() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(find("rate").map(|f| f.id), Some(Func::Rate));
        assert!(find("rates").is_none());
    }
}
