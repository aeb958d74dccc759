;; Loops over the elements of tensors, four or two at a time. `node scripts/build-kernels.mjs` makes kernels-code.ts from this
;; file; kernels.ts says what the functions do and what they want of their arguments.
(module
  (memory (export "memory") 1)

  ;; bits -> (bits + 0x7fff + (bits >> 16 & 1)) >> 16, and 0x7fc0 for NaN
  (func (export "f32ToBf16") (param $from i32) (param $end i32) (param $to i32)
    (local $bits v128) (local $one v128) (local $half v128) (local $magnitude v128) (local $infinity v128) (local $nan v128)
    (local.set $one (i32x4.splat (i32.const 1)))
    (local.set $half (i32x4.splat (i32.const 0x7fff)))
    (local.set $magnitude (i32x4.splat (i32.const 0x7fffffff)))
    (local.set $infinity (i32x4.splat (i32.const 0x7f800000)))
    (local.set $nan (i32x4.splat (i32.const 0x7fc0)))
    (loop $next
      (local.set $bits (v128.load (local.get $from)))
      (local.set $bits
        (v128.bitselect
          (local.get $nan)
          (i32x4.shr_u
            (i32x4.add
              (i32x4.add (local.get $bits) (local.get $half))
              (v128.and (i32x4.shr_u (local.get $bits) (i32.const 16)) (local.get $one)))
            (i32.const 16))
          (i32x4.gt_s (v128.and (local.get $bits) (local.get $magnitude)) (local.get $infinity))))
      (v128.store64_lane 0
        (local.get $to)
        (i16x8.narrow_i32x4_u (local.get $bits) (local.get $bits)))
      (local.set $to (i32.add (local.get $to) (i32.const 8)))
      (local.set $from (i32.add (local.get $from) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $from) (local.get $end)))))

  (func (export "f32ToF16") (param $from i32) (param $end i32) (param $to i32)
    (local $bits v128) (local $m v128) (local $result v128)
    (loop $next
      (local.set $bits (v128.load (local.get $from)))
      (local.set $m (v128.and (local.get $bits) (i32x4.splat (i32.const 0x7fffffff))))
      ;; A normal half has an exponent that is 112 less, and is rounded by 13 bits.
      (local.set $result
        (i32x4.shr_u
          (i32x4.add
            (i32x4.add (local.get $m) (i32x4.splat (i32.const 0xc8000fff)))
            (v128.and (i32x4.shr_u (local.get $m) (i32.const 13)) (i32x4.splat (i32.const 1))))
          (i32.const 13)))
      ;; Below 2^-14 a half is a multiple of 2^-24, the value of the last place of 0.5: adding 0.5 rounds to it.
      (local.set $result
        (v128.bitselect
          (i32x4.sub
            (f32x4.add (local.get $m) (f32x4.splat (f32.const 0.5)))
            (i32x4.splat (i32.const 0x3f000000)))
          (local.get $result)
          (i32x4.lt_s (local.get $m) (i32x4.splat (i32.const 0x38800000)))))
      ;; Magnitudes of 65520 and above become infinity.
      (local.set $result
        (v128.bitselect
          (i32x4.splat (i32.const 0x7c00))
          (local.get $result)
          (i32x4.ge_s (local.get $m) (i32x4.splat (i32.const 0x477ff000)))))
      ;; NaN keeps the upper bits of its payload.
      (local.set $result
        (v128.bitselect
          (v128.or
            (i32x4.splat (i32.const 0x7e00))
            (v128.and (i32x4.shr_u (local.get $m) (i32.const 13)) (i32x4.splat (i32.const 0x1ff))))
          (local.get $result)
          (i32x4.gt_s (local.get $m) (i32x4.splat (i32.const 0x7f800000)))))
      (local.set $result
        (v128.or
          (local.get $result)
          (v128.and (i32x4.shr_u (local.get $bits) (i32.const 16)) (i32x4.splat (i32.const 0x8000)))))
      (v128.store64_lane 0
        (local.get $to)
        (i16x8.narrow_i32x4_u (local.get $result) (local.get $result)))
      (local.set $to (i32.add (local.get $to) (i32.const 8)))
      (local.set $from (i32.add (local.get $from) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $from) (local.get $end)))))

  (func (export "any16") (param $from i32) (param $end i32) (param $bits i32) (result i32)
    (local $mask v128) (local $any v128)
    (local.set $mask (i16x8.splat (local.get $bits)))
    (loop $next
      (local.set $any
        (v128.or
          (local.get $any)
          (v128.or
            (i16x8.eq (v128.and (v128.load (local.get $from)) (local.get $mask)) (local.get $mask))
            (i16x8.eq (v128.and (v128.load offset=16 (local.get $from)) (local.get $mask)) (local.get $mask)))))
      (local.set $from (i32.add (local.get $from) (i32.const 32)))
      (br_if $next (i32.lt_u (local.get $from) (local.get $end))))
    (v128.any_true (local.get $any)))

  (func (export "any32") (param $from i32) (param $end i32) (param $bits i32) (result i32)
    (local $mask v128) (local $any v128)
    (local.set $mask (i32x4.splat (local.get $bits)))
    (loop $next
      (local.set $any
        (v128.or
          (local.get $any)
          (v128.or
            (i32x4.eq (v128.and (v128.load (local.get $from)) (local.get $mask)) (local.get $mask))
            (i32x4.eq (v128.and (v128.load offset=16 (local.get $from)) (local.get $mask)) (local.get $mask)))))
      (local.set $from (i32.add (local.get $from) (i32.const 32)))
      (br_if $next (i32.lt_u (local.get $from) (local.get $end))))
    (v128.any_true (local.get $any)))

  ;; The bits in $bits are those of the upper half.
  (func (export "any64") (param $from i32) (param $end i32) (param $bits i32) (result i32)
    (local $mask v128) (local $any v128)
    (local.set $mask (i64x2.splat (i64.shl (i64.extend_i32_u (local.get $bits)) (i64.const 32))))
    (loop $next
      (local.set $any
        (v128.or
          (local.get $any)
          (v128.or
            (i64x2.eq (v128.and (v128.load (local.get $from)) (local.get $mask)) (local.get $mask))
            (i64x2.eq (v128.and (v128.load offset=16 (local.get $from)) (local.get $mask)) (local.get $mask)))))
      (local.set $from (i32.add (local.get $from) (i32.const 32)))
      (br_if $next (i32.lt_u (local.get $from) (local.get $end))))
    (v128.any_true (local.get $any)))

  (func (export "addProducts")
    (param $row i32) (param $next i32) (param $end i32) (param $right i32) (param $stride i32)
    (param $a0 f64) (param $a1 f64) (param $a2 f64) (param $a3 f64)
    (param $b0 f64) (param $b1 f64) (param $b2 f64) (param $b3 f64)
    (local $v0 v128) (local $v1 v128) (local $v2 v128) (local $v3 v128)
    (local $right1 i32) (local $right2 i32) (local $right3 i32)
    (local.set $right1 (i32.add (local.get $right) (local.get $stride)))
    (local.set $right2 (i32.add (local.get $right1) (local.get $stride)))
    (local.set $right3 (i32.add (local.get $right2) (local.get $stride)))
    (loop $more
      (local.set $v0 (v128.load (local.get $right)))
      (local.set $v1 (v128.load (local.get $right1)))
      (local.set $v2 (v128.load (local.get $right2)))
      (local.set $v3 (v128.load (local.get $right3)))
      (v128.store (local.get $row)
        (f64x2.add
          (v128.load (local.get $row))
          (f64x2.add
            (f64x2.add
              (f64x2.mul (f64x2.splat (local.get $a0)) (local.get $v0))
              (f64x2.mul (f64x2.splat (local.get $a1)) (local.get $v1)))
            (f64x2.add
              (f64x2.mul (f64x2.splat (local.get $a2)) (local.get $v2))
              (f64x2.mul (f64x2.splat (local.get $a3)) (local.get $v3))))))
      (v128.store (local.get $next)
        (f64x2.add
          (v128.load (local.get $next))
          (f64x2.add
            (f64x2.add
              (f64x2.mul (f64x2.splat (local.get $b0)) (local.get $v0))
              (f64x2.mul (f64x2.splat (local.get $b1)) (local.get $v1)))
            (f64x2.add
              (f64x2.mul (f64x2.splat (local.get $b2)) (local.get $v2))
              (f64x2.mul (f64x2.splat (local.get $b3)) (local.get $v3))))))
      (local.set $right (i32.add (local.get $right) (i32.const 16)))
      (local.set $right1 (i32.add (local.get $right1) (i32.const 16)))
      (local.set $right2 (i32.add (local.get $right2) (i32.const 16)))
      (local.set $right3 (i32.add (local.get $right3) (i32.const 16)))
      (local.set $next (i32.add (local.get $next) (i32.const 16)))
      (local.set $row (i32.add (local.get $row) (i32.const 16)))
      (br_if $more (i32.lt_u (local.get $row) (local.get $end)))))
)
